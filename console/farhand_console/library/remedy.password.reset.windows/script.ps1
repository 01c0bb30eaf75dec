# Give one local account a drawn password that has to be changed at the next sign-in.
# Prints one JSON object, which holds the password and is sealed to whoever ordered it.
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2.0
$given = Get-Content -LiteralPath $env:FARHAND_PARAMETERS -Raw -Encoding UTF8 | ConvertFrom-Json

function Stop-With($words) {
    [Console]::Error.WriteLine($words)
    @{ changed = $false; account = $given.account } | ConvertTo-Json -Compress
    exit 1
}

# By its own name, never a pattern: -Name would take wildcards.
$user = Get-LocalUser | Where-Object { $_.Name -eq $given.account } | Select-Object -First 1
if ($null -eq $user) { Stop-With 'there is no such local account' }
if (-not $user.Enabled) { Stop-With 'the account is disabled: whoever did that has to enable it' }
# The last part of the built-in accounts' identifiers is below 1000.
if ([int64]($user.SID.Value.Split('-')[-1]) -lt 1000) { Stop-With 'the account is a built-in one' }
if ("$($user.PrincipalSource)" -ne 'Local') { Stop-With 'the password is not kept on this device' }

# Without what is mistaken for one another when it is read out.
$kinds = @('abcdefghijkmnpqrstuvwxyz', 'ABCDEFGHJKLMNPQRSTUVWXYZ', '23456789')
$all = -join $kinds
$source = [Security.Cryptography.RandomNumberGenerator]::Create()
function Get-Symbol($from) {
    $byte = New-Object byte[] 1
    # Bytes beyond the last whole turn would make some symbols likelier than others.
    do { $source.GetBytes($byte) } while ($byte[0] -ge 256 - (256 % $from.Length))
    return [string]$from[$byte[0] % $from.Length]
}
do {
    $parts = 1..3 | ForEach-Object { -join (1..5 | ForEach-Object { Get-Symbol $all }) }
    $password = $parts -join '-'
} until (@($kinds | Where-Object { $password.IndexOfAny($_.ToCharArray()) -ge 0 }).Count -eq 3)

$secure = New-Object Security.SecureString
foreach ($symbol in $password.ToCharArray()) { $secure.AppendChar($symbol) }
# What never expires cannot be made to be changed.
Set-LocalUser -SID $user.SID -Password $secure -PasswordNeverExpires $false
$entry = [ADSI]"WinNT://$env:COMPUTERNAME/$($user.Name),user"
$entry.Put('PasswordExpired', 1)
$entry.SetInfo()
@{ changed = $true; account = $user.Name; must_change = $true; password = $password } |
    ConvertTo-Json -Compress
