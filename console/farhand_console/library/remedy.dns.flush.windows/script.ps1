# Empty the cache of Windows' resolver. Prints one JSON object.
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
Clear-DnsClientCache
@{ changed = $true } | ConvertTo-Json -Compress
