// Amounts of money, as the relay counts them: in the minor unit of their currency.

import { foreign } from "../../lib/format";

// ISO 4217: how many digits the minor unit has, where it is not two; the relay's table
// (contracts/formats.py), for a browser shows some currencies with fewer than are counted.
const DIGITS: Readonly<Record<string, readonly string[]>> = {
  0: ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"],
  3: ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"],
};

const minorDigits = (currency: string): number =>
  Number(Object.keys(DIGITS).find((digits) => DIGITS[digits]?.includes(currency)) ?? 2);

/** `€12.50`, from minor units; what is no currency stands beside the number as the word it is. */
export function money(minor: number, currency: string): string {
  const digits = minorDigits(currency);
  const form = { minimumFractionDigits: digits, maximumFractionDigits: digits };
  const amount = minor / 10 ** digits;
  if (/^[A-Z]{3}$/.test(currency)) {
    return new Intl.NumberFormat(navigator.language, { style: "currency", currency, ...form }).format(amount);
  }
  return `${new Intl.NumberFormat(navigator.language, form).format(amount)} ${foreign(currency, 10)}`.trim();
}
