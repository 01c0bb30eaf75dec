# Put Windows Update's folders aside and start it again. Prints one JSON object.
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$stamp = (Get-Date).ToString('yyyyMMdd-HHmmss')
$services = 'wuauserv', 'bits', 'cryptsvc', 'usosvc'
$folders = (Join-Path $env:SystemRoot 'SoftwareDistribution'), (Join-Path $env:SystemRoot 'System32\catroot2')
$aside = @()
foreach ($name in $services) { Stop-Service -Name $name -Force }
try {
    foreach ($folder in $folders) {
        if (-not (Test-Path -LiteralPath $folder)) { continue }
        $kept = "$folder.farhand-$stamp"
        Move-Item -LiteralPath $folder -Destination $kept
        $aside += $kept
    }
} finally {
    foreach ($name in 'cryptsvc', 'bits', 'wuauserv', 'usosvc') { Start-Service -Name $name }
}
@{ changed = ($aside.Count -gt 0); kept = @($aside) } | ConvertTo-Json -Compress
