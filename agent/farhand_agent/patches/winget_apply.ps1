# Upgrades named packages with winget and prints one JSON document with an exit code for each.
# FARHAND_VALUES: {"packages": [{"id": "Vendor.Name", "version": "1.2"}, ...]}
# Source: learn.microsoft.com, `winget upgrade`; microsoft/winget-cli, returnCodes.md.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
[Console]::OutputEncoding = New-Object System.Text.UTF8Encoding $false
$wanted = @(($env:FARHAND_VALUES | ConvertFrom-Json).packages)
try {
    # The system account has no alias for it, so the newest one is looked up where it lies.
    $folders = Join-Path ([Environment]::GetFolderPath('ProgramFiles')) 'WindowsApps\Microsoft.DesktopAppInstaller_*_8wekyb3d8bbwe'
    $winget = Get-Item (Join-Path $folders 'winget.exe') -ErrorAction SilentlyContinue |
        Sort-Object { $_.VersionInfo.FileVersionRaw } | Select-Object -Last 1
    if (-not $winget) {
        @{ missing = 'winget.exe' } | ConvertTo-Json -Compress
        exit 0
    }
    # What a program writes to standard error would end the script otherwise.
    $ErrorActionPreference = 'Continue'
    $results = @(foreach ($one in $wanted) {
        $said = & $winget.FullName upgrade --id $one.id --version $one.version --exact --silent `
            --accept-package-agreements --accept-source-agreements --disable-interactivity 2>&1
        @{ id = $one.id; code = $LASTEXITCODE; words = ($said | Select-Object -Last 5) -join "`n" }
    })
    @{ results = $results } | ConvertTo-Json -Depth 4 -Compress
} catch {
    @{ error = $_.Exception.HResult; words = [string]$_.Exception.Message } | ConvertTo-Json -Compress
    exit 1
}
