# Lists packages for which winget knows a newer version; prints one JSON document.
# The table of `winget upgrade` is cut to the width of a window and translated: it is not read.
# Source: learn.microsoft.com, Microsoft.WinGet.Client, Get-WinGetPackage.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
[Console]::OutputEncoding = New-Object System.Text.UTF8Encoding $false
try {
    if (-not (Get-Module -ListAvailable -Name Microsoft.WinGet.Client)) {
        @{ missing = 'Microsoft.WinGet.Client' } | ConvertTo-Json -Compress
        exit 0
    }
    Import-Module Microsoft.WinGet.Client
    $pins = @()
    if (Get-Command Get-WinGetPin -ErrorAction SilentlyContinue) {
        $pins = @(Get-WinGetPin | ForEach-Object { $_.PackageId })
    }
    $packages = @(Get-WinGetPackage | Where-Object { $_.IsUpdateAvailable } | ForEach-Object {
        @{
            id = $_.Id; name = $_.Name; installed = $_.InstalledVersion
            available = @($_.AvailableVersions | Select-Object -First 1)
            source = $_.Source; pinned = $pins -contains $_.Id
        }
    })
    @{ packages = $packages } | ConvertTo-Json -Depth 4 -Compress
} catch {
    @{ error = $_.Exception.HResult; words = [string]$_.Exception.Message } | ConvertTo-Json -Compress
    exit 1
}
