# Restart one service and tell whether it runs afterwards. Prints one JSON object.
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$given = Get-Content -LiteralPath $env:FARHAND_PARAMETERS -Raw -Encoding UTF8 | ConvertFrom-Json

# By its own name, never a pattern: -Name would take wildcards.
$service = Get-Service | Where-Object { $_.Name -eq $given.service } | Select-Object -First 1
if ($null -eq $service) {
    [Console]::Error.WriteLine('there is no such service')
    exit 1
}
$dependent = @($service.DependentServices | Where-Object { $_.Status -eq 'Running' })
Restart-Service -InputObject $service -Force
foreach ($other in $dependent) { Start-Service -InputObject $other }
$service.Refresh()
$runs = $service.Status -eq 'Running'
@{ changed = $true; service = $service.Name; state = "$($service.Status)" } | ConvertTo-Json -Compress
if (-not $runs) { exit 1 }
