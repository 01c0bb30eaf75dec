# Stop the spooler, remove its jobs, start it again. Prints one JSON object.
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$folder = Join-Path $env:SystemRoot 'System32\spool\PRINTERS'
Stop-Service -Name 'Spooler' -Force
$removed = 0
try {
    foreach ($file in @(Get-ChildItem -LiteralPath $folder -File -Force)) {
        Remove-Item -LiteralPath $file.FullName -Force
        $removed++
    }
} finally {
    Start-Service -Name 'Spooler'
}
@{ changed = $true; files_removed = $removed } | ConvertTo-Json -Compress
