# Restart Windows' sound services. Prints one JSON object.
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
foreach ($name in 'AudioEndpointBuilder', 'Audiosrv') { Restart-Service -Name $name -Force }
Start-Service -Name 'Audiosrv'
@{ changed = $true; state = "$((Get-Service -Name 'Audiosrv').Status)" } | ConvertTo-Json -Compress
