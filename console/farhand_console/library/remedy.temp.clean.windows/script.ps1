# Remove old files from Windows' own temporary folder. Prints one JSON object.
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$given = Get-Content -LiteralPath $env:FARHAND_PARAMETERS -Raw -Encoding UTF8 | ConvertFrom-Json

$root = Join-Path $env:SystemRoot 'Temp'
$oldest = (Get-Date).AddDays(-[int]$given.days)
$files = 0
$bytes = [long]0
$failed = 0

function Remove-Old([string]$folder) {
    foreach ($entry in @(Get-ChildItem -LiteralPath $folder -Force)) {
        # A junction or a link leads elsewhere: it stays, and nobody goes there.
        if ($entry.Attributes -band [IO.FileAttributes]::ReparsePoint) { continue }
        if ($entry.PSIsContainer) { Remove-Old $entry.FullName; continue }
        if ($entry.LastWriteTime -ge $oldest -or $entry.LastAccessTime -ge $oldest) { continue }
        try {
            $size = $entry.Length
            Remove-Item -LiteralPath $entry.FullName -Force
            $script:files++
            $script:bytes += $size
        } catch { $script:failed++ }
    }
}

Remove-Old $root
@{ changed = ($files -gt 0); files = $files; bytes = $bytes; failed = $failed } | ConvertTo-Json -Compress
