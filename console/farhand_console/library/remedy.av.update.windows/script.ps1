# Have Microsoft Defender fetch new signatures. Prints one JSON object.
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$before = (Get-MpComputerStatus).AntivirusSignatureVersion
Update-MpSignature
$after = (Get-MpComputerStatus).AntivirusSignatureVersion
@{ changed = ($before -ne $after); before = "$before"; after = "$after" } | ConvertTo-Json -Compress
