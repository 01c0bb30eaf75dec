# Downloads and installs named updates with the Windows Update Agent; prints one JSON document.
# FARHAND_VALUES: {"updates": [{"id": "GUID", "revision": 200}, ...]}
# Source: learn.microsoft.com, Windows Update Agent API, IUpdateInstaller.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
[Console]::OutputEncoding = New-Object System.Text.UTF8Encoding $false
$wanted = @(($env:FARHAND_VALUES | ConvertFrom-Json).updates)

try {
    $session = New-Object -ComObject Microsoft.Update.Session
    $session.ClientApplicationID = 'Farhand'
    $searcher = $session.CreateUpdateSearcher()
    $searcher.Online = $false
    $found = $searcher.Search("IsInstalled=0 and IsHidden=0 and Type='Software'").Updates
    $chosen = New-Object -ComObject Microsoft.Update.UpdateColl
    foreach ($update in $found) {
        $identity = $update.Identity
        $named = $wanted | Where-Object {
            $_.id -eq $identity.UpdateID -and $_.revision -eq $identity.RevisionNumber
        }
        # An update that may ask a question would wait for ever where nobody is.
        if ($named -and -not $update.InstallationBehavior.CanRequestUserInput) {
            if (-not $update.EulaAccepted) { $update.AcceptEula() }
            [void]$chosen.Add($update)
        }
    }
    if ($chosen.Count -eq 0) {
        @{ code = 0; reboot = $false; results = @() } | ConvertTo-Json -Depth 4 -Compress
        exit 0
    }
    $downloader = $session.CreateUpdateDownloader()
    $downloader.Updates = $chosen
    [void]$downloader.Download()
    $installer = $session.CreateUpdateInstaller()
    $installer.Updates = $chosen
    $installer.ForceQuiet = $true
    $done = $installer.Install()
    $results = @(for ($n = 0; $n -lt $chosen.Count; $n++) {
        $one = $done.GetUpdateResult($n)
        $identity = $chosen.Item($n).Identity
        @{
            id = $identity.UpdateID; revision = $identity.RevisionNumber
            code = $one.ResultCode; hresult = $one.HResult; reboot = $one.RebootRequired
        }
    })
    @{ code = $done.ResultCode; reboot = $done.RebootRequired; results = $results } |
        ConvertTo-Json -Depth 4 -Compress
} catch {
    @{ error = $_.Exception.HResult; words = [string]$_.Exception.Message } | ConvertTo-Json -Compress
    exit 1
}
