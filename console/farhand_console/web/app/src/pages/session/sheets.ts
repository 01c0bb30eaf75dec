// A sheet of the page in the guise of a <style> element, for a library that writes into such ones.
//
// The page's policy forbids text that becomes style, and allows sheets that a script makes.

/** An element that may stand anywhere; what is written into it is in force until it is removed. */
export function sheetInstead(): HTMLElement {
  const element = document.createElement("span");
  const sheet = new CSSStyleSheet();
  element.hidden = true;
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  Object.defineProperty(element, "textContent", {
    get: () => "",
    set: (css: string) => sheet.replaceSync(css),
  });
  const remove = element.remove.bind(element);
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((one) => one !== sheet);
    remove();
  };
  return element;
}
