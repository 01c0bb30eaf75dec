# Ask for the addresses of one interface anew. Prints one JSON object.
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$given = Get-Content -LiteralPath $env:FARHAND_PARAMETERS -Raw -Encoding UTF8 | ConvertFrom-Json

# By its own name, never a pattern.
$adapter = Get-NetAdapter | Where-Object { $_.Name -eq $given.interface } | Select-Object -First 1
if ($null -eq $adapter) {
    [Console]::Error.WriteLine('there is no such interface')
    exit 1
}
function Get-Addresses {
    @(Get-NetIPAddress -InterfaceIndex $adapter.ifIndex -AddressFamily IPv4 | ForEach-Object { $_.IPAddress })
}
$before = Get-Addresses
$said = & "$env:SystemRoot\System32\ipconfig.exe" /renew $adapter.Name 2>&1 | Out-String
$works = $LASTEXITCODE -eq 0
if (-not $works) { [Console]::Error.WriteLine($said.Trim()) }
$after = Get-Addresses
$differs = ($before -join ' ') -ne ($after -join ' ')
@{ changed = $differs; before = @($before); after = @($after) } | ConvertTo-Json -Compress
if (-not $works) { exit 1 }
