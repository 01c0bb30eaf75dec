# Searches for updates with the Windows Update Agent and prints one JSON document.
# FARHAND_VALUES: {"online": true|false}
# Source: learn.microsoft.com, Windows Update Agent API, IUpdateSearcher and IUpdate.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
[Console]::OutputEncoding = New-Object System.Text.UTF8Encoding $false
$wanted = $env:FARHAND_VALUES | ConvertFrom-Json

function Get-Reasons {
    $found = @()
    $base = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion'
    if (Test-Path "$base\WindowsUpdate\Auto Update\RebootRequired") { $found += 'windows-update' }
    foreach ($name in 'RebootPending', 'RebootInProgress', 'PackagesPending') {
        if (Test-Path "$base\Component Based Servicing\$name") { $found += "servicing-$name" }
    }
    $manager = Get-ItemProperty 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager'
    if ($manager.PendingFileRenameOperations) { $found += 'pending-file-rename' }
    $names = 'HKLM:\SYSTEM\CurrentControlSet\Control\ComputerName'
    $active = (Get-ItemProperty "$names\ActiveComputerName").ComputerName
    $next = (Get-ItemProperty "$names\ComputerName").ComputerName
    if ($active -ne $next) { $found += 'computer-name' }
    $volatile = Get-ItemProperty 'HKLM:\SOFTWARE\Microsoft\Updates' -ErrorAction SilentlyContinue
    if ($volatile -and $volatile.UpdateExeVolatile) { $found += 'update-exe-volatile' }
    return , $found
}

try {
    $session = New-Object -ComObject Microsoft.Update.Session
    $session.ClientApplicationID = 'Farhand'
    $searcher = $session.CreateUpdateSearcher()
    $searcher.Online = [bool]$wanted.online
    $result = $searcher.Search("IsInstalled=0 and Type='Software'")
    $updates = @($result.Updates | ForEach-Object {
        @{
            id = $_.Identity.UpdateID; revision = $_.Identity.RevisionNumber; title = $_.Title
            kb = @($_.KBArticleIDs | ForEach-Object { $_ }); severity = $_.MsrcSeverity
            categories = @($_.Categories | ForEach-Object { $_.CategoryID })
            size = [string]$_.MaxDownloadSize; hidden = $_.IsHidden
            reboot = $_.InstallationBehavior.RebootBehavior
            asks = $_.InstallationBehavior.CanRequestUserInput
            cves = @($_.CveIDs | ForEach-Object { $_ })
        }
    })
    $last = (New-Object -ComObject Microsoft.Update.AutoUpdate).Results.LastSearchSuccessDate
    $at = $null
    if ($last) { $at = ([DateTime]$last).ToString('yyyy-MM-ddTHH:mm:ssZ') }
    @{
        code = $result.ResultCode; updates = $updates; searched_at = $at
        reboot = (New-Object -ComObject Microsoft.Update.SystemInfo).RebootRequired
        reasons = Get-Reasons
    } | ConvertTo-Json -Depth 5 -Compress
} catch {
    @{ error = $_.Exception.HResult; words = [string]$_.Exception.Message } | ConvertTo-Json -Compress
    exit 1
}
