# Have Windows' time service ask its server at once. Prints one JSON object.
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$service = Get-Service -Name 'W32Time'
if ($service.Status -ne 'Running') { Start-Service -InputObject $service }
$said = & "$env:SystemRoot\System32\w32tm.exe" /resync /force 2>&1 | Out-String
$works = $LASTEXITCODE -eq 0
[Console]::Error.WriteLine($said.Trim())
@{ changed = $works; by = 'W32Time' } | ConvertTo-Json -Compress
if (-not $works) { exit 1 }
