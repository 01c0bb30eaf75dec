# Asks Windows everything that inventory wants to know; prints one JSON document in UTF-8:
# {"parts": {NAME: {"value": [...]} or {"error": {"id", "kind", "number", "words"}}}}.
# Each part has a try of its own.  Never Win32_Product (it repairs what it lists), never a command
# line, never an environment variable, never a text that Windows translates.
param([string[]]$Wanted)
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'
[Console]::OutputEncoding = New-Object System.Text.UTF8Encoding $false
$parts = @{}

function Part([string]$Name, [scriptblock]$Query) {
    if ($Wanted -notcontains $Name) { return }
    try { $parts[$Name] = @{ value = @(& $Query) } }
    catch {
        $parts[$Name] = @{ error = @{
            id = [string]$_.FullyQualifiedErrorId; kind = [string]$_.CategoryInfo.Category
            number = $_.Exception.GetBaseException().HResult; words = [string]$_.Exception.Message
        } }
    }
}
function Cim([string]$Class, [string[]]$Take, [string]$Namespace = 'root\cimv2', [string]$Filter) {
    $ask = @{ ClassName = $Class; Namespace = $Namespace; OperationTimeoutSec = 25 }
    if ($Filter) { $ask.Filter = $Filter }
    Get-CimInstance @ask | Select-Object -Property $Take
}
function Open([string]$Hive, [string]$Path, [int]$Bits = 64) {
    [Microsoft.Win32.RegistryKey]::OpenBaseKey($Hive, "Registry$Bits").OpenSubKey($Path)
}
function Plain($Value) {
    if ($Value -is [byte[]]) { return [Convert]::ToBase64String($Value) }
    if ($Value -is [array]) { return , @($Value | ForEach-Object { [string]$_ }) }
    $Value
}
function Take($Key, [string[]]$Names) {
    $found = @{}
    foreach ($name in $Names) { $found[$name] = Plain $Key.GetValue($name) }
    $found
}
function Values([string]$Hive, [string]$Path, [string[]]$Names, [int]$Bits = 64) {
    $key = Open $Hive $Path $Bits
    if ($key) { Take $key $Names }
}
function Subkeys([string]$Hive, [string]$Path, [string[]]$Names, [int]$Bits = 64) {
    $key = Open $Hive $Path $Bits
    if (-not $key) { return }
    foreach ($name in $key.GetSubKeyNames()) {
        try { $below = $key.OpenSubKey($name) } catch { continue }
        if ($below) { $found = Take $below $Names; $found['key'] = $name; $found }
    }
}
function People {
    [Microsoft.Win32.Registry]::Users.GetSubKeyNames() |
        Where-Object { $_ -match '^S-1-(5-21|12-1)-[0-9-]+$' }
}
function Events([hashtable]$Filter, [int]$Most) {
    try { Get-WinEvent -FilterHashtable $Filter -MaxEvents $Most }
    catch { if ([string]$_.FullyQualifiedErrorId -notlike 'NoMatchingEventsFound*') { throw } }
}
# What a program prints, untouched: Windows' own tools print UTF-16, the code page or UTF-8.
function Printed([string]$File, [string]$Arguments, [int]$Seconds = 15) {
    $start = New-Object System.Diagnostics.ProcessStartInfo $File, $Arguments
    $start.UseShellExecute = $false
    $start.CreateNoWindow = $true
    $start.RedirectStandardOutput = $true
    $process = [System.Diagnostics.Process]::Start($start)
    $bytes = New-Object System.IO.MemoryStream
    $copy = $process.StandardOutput.BaseStream.CopyToAsync($bytes)
    if (-not $copy.Wait($Seconds * 1000)) { $process.Kill(); throw "$File took too long" }
    [Convert]::ToBase64String($bytes.ToArray())
}
function Homes { Get-CimInstance Win32_UserProfile -Filter 'Special = FALSE' | ForEach-Object { $_.LocalPath } }

$storage = 'root\Microsoft\Windows\Storage'
$net = 'root\StandardCimv2'
$wmi = 'root\wmi'
$current = 'SOFTWARE\Microsoft\Windows\CurrentVersion'
$control = 'SYSTEM\CurrentControlSet\Control'
$services = 'SYSTEM\CurrentControlSet\Services'

# --- the machine ---
Part 'computer' { Cim 'Win32_ComputerSystem' DNSHostName, Name, Domain, PartOfDomain, Workgroup, Manufacturer, Model, SystemSKUNumber, SystemFamily, HypervisorPresent, TotalPhysicalMemory }
Part 'product' { Cim 'Win32_ComputerSystemProduct' Vendor, Version, UUID, IdentifyingNumber }
Part 'bios' { Cim 'Win32_BIOS' Manufacturer, SMBIOSBIOSVersion, ReleaseDate, SerialNumber, SystemBiosMajorVersion, SystemBiosMinorVersion, EmbeddedControllerMajorVersion, EmbeddedControllerMinorVersion }
Part 'board' { Cim 'Win32_BaseBoard' Manufacturer, Product, Version, SerialNumber }
Part 'enclosure' { Cim 'Win32_SystemEnclosure' ChassisTypes, SMBIOSAssetTag, SerialNumber }
Part 'machine_guid' { Values LocalMachine 'SOFTWARE\Microsoft\Cryptography' MachineGuid }
Part 'firmware' { Values LocalMachine $control PEFirmwareType }
Part 'secure_boot' { Values LocalMachine "$control\SecureBoot\State" UEFISecureBootEnabled }
Part 'setup_mode' { @{ SetupMode = @((Get-SecureBootUEFI -Name SetupMode).Bytes)[0] } }
Part 'windows' { Values LocalMachine 'SOFTWARE\Microsoft\Windows NT\CurrentVersion' ProductName, DisplayVersion, ReleaseId, CurrentBuild, UBR, EditionID, InstallationType, InstallDate, BuildLabEx }
Part 'os' { Cim 'Win32_OperatingSystem' Caption, Version, BuildNumber, OSArchitecture, InstallDate, LastBootUpTime, ProductType, FreePhysicalMemory, FreeVirtualMemory, TotalVisibleMemorySize }
Part 'processors' { Cim 'Win32_Processor' DeviceID, Name, Manufacturer, Family, Description, Stepping, NumberOfCores, NumberOfLogicalProcessors, MaxClockSpeed, VirtualizationFirmwareEnabled, VMMonitorModeExtensions, Architecture }
Part 'processor_registry' { Values LocalMachine 'HARDWARE\DESCRIPTION\System\CentralProcessor\0' 'Update Revision', Identifier, VendorIdentifier }
Part 'memory_modules' { Cim 'Win32_PhysicalMemory' DeviceLocator, BankLabel, Capacity, SMBIOSMemoryType, FormFactor, Speed, ConfiguredClockSpeed, ConfiguredVoltage, Manufacturer, PartNumber, SerialNumber, Tag }
Part 'memory_arrays' { Cim 'Win32_PhysicalMemoryArray' MemoryDevices, MaxCapacityEx, MaxCapacity, MemoryErrorCorrection, Use }
Part 'page_files' { Cim 'Win32_PageFileUsage' Name, AllocatedBaseSize, CurrentUsage }
Part 'batteries' { Cim 'Win32_Battery' DeviceID, Name, Chemistry, DesignVoltage, EstimatedChargeRemaining, BatteryStatus }
Part 'battery_static' { Cim 'BatteryStaticData' InstanceName, DeviceName, ManufactureName, SerialNumber, UniqueID, Chemistry, DesignedCapacity $wmi }
Part 'battery_full' { Cim 'BatteryFullChargedCapacity' InstanceName, FullChargedCapacity $wmi }
Part 'battery_cycles' { Cim 'BatteryCycleCount' InstanceName, CycleCount $wmi }
Part 'thermal' { Cim 'MSAcpi_ThermalZoneTemperature' InstanceName, CurrentTemperature, CriticalTripPoint $wmi }
Part 'smbios' { Get-CimInstance -Namespace $wmi -ClassName MSSmBios_RawSMBiosTables | ForEach-Object { @{ SMBiosData = Plain ([byte[]]$_.SMBiosData) } } }
Part 'slots' { Cim 'Win32_SystemSlot' SlotDesignation, CurrentUsage, SlotType, MaxDataWidth, SegmentGroupNumber, BusNumber, DeviceNumber, FunctionNumber }
Part 'connectors' { Cim 'Win32_PortConnector' ExternalReferenceDesignator, InternalReferenceDesignator, PortType, ConnectorType }
Part 'serial_ports' { Cim 'Win32_SerialPort' DeviceID, Name }

# --- devices ---
Part 'pnp' { Cim 'Win32_PnPEntity' Name, DeviceID, PNPClass, Manufacturer, Service, ConfigManagerErrorCode, Present, HardwareID, CompatibleID }
Part 'video' { Cim 'Win32_VideoController' Name, AdapterCompatibility, AdapterRAM, DriverVersion, PNPDeviceID, InstalledDisplayDrivers }
Part 'video_registry' { Subkeys LocalMachine "$control\Class\{4d36e968-e325-11ce-bfc1-08002be10318}" DriverDesc, MatchingDeviceId, DriverVersion, 'HardwareInformation.qwMemorySize', 'HardwareInformation.BiosString' }
Part 'edids' {
    $display = Open LocalMachine 'SYSTEM\CurrentControlSet\Enum\DISPLAY'
    if ($display) {
        foreach ($kind in $display.GetSubKeyNames()) {
            foreach ($one in $display.OpenSubKey($kind).GetSubKeyNames()) {
                try { $key = $display.OpenSubKey("$kind\$one\Device Parameters") } catch { continue }
                if (-not $key) { continue }
                $over = $key.OpenSubKey('EDID_OVERRIDE')
                @{ Instance = "DISPLAY\$kind\$one"; EDID = Plain $key.GetValue('EDID'); Override = $(if ($over) { Plain $over.GetValue('0') }) }
            }
        }
    }
}
Part 'monitors_on' { Cim 'WmiMonitorID' InstanceName, Active $wmi }
Part 'sound' { Cim 'Win32_SoundDevice' Name, DeviceID, Manufacturer }
Part 'keyboards' { Cim 'Win32_Keyboard' Name, Description, PNPDeviceID }
Part 'pointing' { Cim 'Win32_PointingDevice' Name, Description, PNPDeviceID, PointingType }
Part 'modems' { Cim 'Win32_POTSModem' Name, DeviceID, AttachedTo, Model, ProviderName, StatusInfo }
Part 'printers' { Cim 'Win32_Printer' Name, DriverName, PortName, Default, Shared, WorkOffline, PrinterStatus, PrinterState, Location }
Part 'printer_ports' { Cim 'Win32_TCPIPPrinterPort' Name, HostAddress, PortNumber, Protocol }

# --- storage ---
Part 'physical_disks' { Cim 'MSFT_PhysicalDisk' DeviceId, FriendlyName, Model, Manufacturer, SerialNumber, FirmwareVersion, Size, BusType, MediaType, SpindleSpeed, HealthStatus, UniqueId, LogicalSectorSize, PhysicalSectorSize $storage }
Part 'disks' { Cim 'MSFT_Disk' Number, PartitionStyle, IsReadOnly, UniqueId, BootFromDisk, BusType $storage }
Part 'disk_drives' { Cim 'Win32_DiskDrive' Index, DeviceID, Model, SerialNumber, FirmwareRevision, Size, InterfaceType, MediaType, BytesPerSector }
Part 'reliability' { Get-PhysicalDisk | ForEach-Object { $disk = $_; Get-StorageReliabilityCounter -PhysicalDisk $disk | Select-Object @{ n = 'DeviceId'; e = { $disk.DeviceId } }, Wear, Temperature, PowerOnHours, StartStopCycleCount, ReadErrorsUncorrected, WriteErrorsUncorrected } }
Part 'failure_prediction' { Cim 'MSStorageDriver_FailurePredictStatus' InstanceName, PredictFailure $wmi }
Part 'partitions' { Cim 'MSFT_Partition' DiskNumber, PartitionNumber, Size, GptType, MbrType, DriveLetter, Guid, AccessPaths $storage }
Part 'volumes' { Cim 'Win32_Volume' DeviceID, DriveLetter, Name, FileSystem, Label, SerialNumber, Capacity, FreeSpace, DriveType }
Part 'network_drives' { Cim 'Win32_LogicalDisk' DeviceID, ProviderName, FileSystem, Size, FreeSpace -Filter 'DriveType = 4' }
Part 'encryption' { Cim 'Win32_EncryptableVolume' DriveLetter, DeviceID, ProtectionStatus, ConversionStatus, EncryptionMethod, VolumeType 'root\CIMV2\Security\MicrosoftVolumeEncryption' }
Part 'pools' { Cim 'MSFT_StoragePool' FriendlyName, UniqueId, Size, AllocatedSize, HealthStatus, IsPrimordial $storage }
Part 'virtual_disks' { Cim 'MSFT_VirtualDisk' FriendlyName, UniqueId, Size, HealthStatus, OperationalStatus, ResiliencySettingName, NumberOfColumns, PhysicalDiskRedundancy $storage }

# --- network ---
Part 'adapters' { Cim 'MSFT_NetAdapter' Name, InterfaceDescription, InterfaceIndex, InterfaceGuid, PermanentAddress, NetworkAddresses, MtuSize, InterfaceOperationalStatus, Speed, ReceiveLinkSpeed, FullDuplex, Virtual, HardwareInterface, InterfaceType, NdisPhysicalMedium, DriverName, Hidden, ComponentID $net }
Part 'addresses' { Cim 'MSFT_NetIPAddress' IPAddress, PrefixLength, InterfaceIndex, AddressFamily, SuffixOrigin, Store $net }
Part 'routes' { Cim 'MSFT_NetRoute' DestinationPrefix, NextHop, InterfaceAlias, InterfaceIndex, RouteMetric, InterfaceMetric, Protocol, AddressFamily, Store $net }
Part 'dns_servers' { Cim 'MSFT_DNSClientServerAddress' InterfaceAlias, AddressFamily, ServerAddresses $net }
Part 'dns_suffixes' { Cim 'MSFT_DNSClientGlobalSetting' SuffixSearchList, UseSuffixSearchList $net }
Part 'nrpt' { Subkeys LocalMachine 'SOFTWARE\Policies\Microsoft\Windows NT\DNSClient\DnsPolicyConfig' Name, GenericDNSServers; Subkeys LocalMachine "$services\Dnscache\Parameters\DnsPolicyConfig" Name, GenericDNSServers }
Part 'neighbours' { Cim 'MSFT_NetNeighbor' IPAddress, LinkLayerAddress, InterfaceAlias, State $net }
Part 'tcp' { Cim 'MSFT_NetTCPConnection' LocalAddress, LocalPort, OwningProcess $net 'State = 2' }
Part 'udp' { Cim 'MSFT_NetUDPEndpoint' LocalAddress, LocalPort, OwningProcess $net }
Part 'wlan' {
    $null = [Windows.Networking.Connectivity.NetworkInformation, Windows, ContentType = WindowsRuntime]
    [Windows.Networking.Connectivity.NetworkInformation]::GetConnectionProfiles() |
        Where-Object { $_.IsWlanConnectionProfile -and [int]$_.GetNetworkConnectivityLevel() -gt 0 } |
        ForEach-Object { @{ Adapter = [string]$_.NetworkAdapter.NetworkAdapterId; Ssid = $_.WlanConnectionProfileDetails.GetConnectedSsid(); Authentication = [string]$_.NetworkSecuritySettings.NetworkAuthenticationType } }
}
Part 'vpn' { @(Get-VpnConnection -AllUserConnection) + @(Get-VpnConnection) | Select-Object Name, @{ n = 'TunnelType'; e = { [string]$_.TunnelType } }, @{ n = 'ConnectionStatus'; e = { [string]$_.ConnectionStatus } } }
Part 'firewall' { Get-NetFirewallProfile -PolicyStore ActiveStore | Select-Object Name, @{ n = 'Enabled'; e = { [int]$_.Enabled } }, @{ n = 'Inbound'; e = { [int]$_.DefaultInboundAction } }, @{ n = 'Outbound'; e = { [int]$_.DefaultOutboundAction } } }
Part 'hosts' { @{ text = [IO.File]::ReadAllText("$env:SystemRoot\System32\drivers\etc\hosts") } }
Part 'proxy_users' { foreach ($sid in People) { $found = Values Users "$sid\$current\Internet Settings" ProxyEnable, ProxyServer, ProxyOverride, AutoConfigURL; if ($found) { $found['sid'] = $sid; $found } } }
Part 'proxy_winhttp' { Values LocalMachine "$current\Internet Settings\Connections" WinHttpSettings }

# --- security ---
Part 'antivirus' { Cim 'AntiVirusProduct' displayName, productState, timestamp 'root\SecurityCenter2' }
Part 'defender' { Cim 'MSFT_MpComputerStatus' AMServiceEnabled, AntivirusEnabled, RealTimeProtectionEnabled, AMProductVersion, AntivirusSignatureVersion, AntivirusSignatureLastUpdated, AntivirusSignatureAge, DefenderSignaturesOutOfDate 'root\Microsoft\Windows\Defender' }
Part 'tpm' { Cim 'Win32_Tpm' SpecVersion, ManufacturerIdTxt, ManufacturerVersion, IsEnabled_InitialValue, IsActivated_InitialValue 'root\CIMV2\Security\MicrosoftTpm' }
Part 'device_guard' { Cim 'Win32_DeviceGuard' SecurityServicesRunning, VirtualizationBasedSecurityStatus, CodeIntegrityPolicyEnforcementStatus 'root\Microsoft\Windows\DeviceGuard' }
Part 'hardening' {
    foreach ($one in @(
            @("$current\Policies\System", 'EnableLUA'), @("$current\Policies\System", 'ConsentPromptBehaviorAdmin'),
            @("$current\Policies\System", 'PromptOnSecureDesktop'), @("$current\Policies\System", 'InactivityTimeoutSecs'),
            @("$current\Policies\System", 'LocalAccountTokenFilterPolicy'),
            @("$control\Lsa", 'RunAsPPL'), @("$control\Lsa", 'LmCompatibilityLevel'), @("$control\Lsa", 'NoLMHash'),
            @("$control\Lsa", 'RestrictAnonymous'), @("$control\Lsa", 'LsaCfgFlags'),
            @("$control\SecurityProviders\WDigest", 'UseLogonCredential'),
            @("$services\LanmanServer\Parameters", 'SMB1'), @("$services\LanmanServer\Parameters", 'RequireSecuritySignature'),
            @("$services\LanmanWorkstation\Parameters", 'RequireSecuritySignature'), @("$services\mrxsmb10", 'Start'),
            @('SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon', 'AutoAdminLogon'),
            @('SOFTWARE\Policies\Microsoft\Windows\PowerShell', 'ExecutionPolicy'),
            @('SOFTWARE\Policies\Microsoft\Windows\PowerShell\ScriptBlockLogging', 'EnableScriptBlockLogging'),
            @("$current\Explorer", 'SmartScreenEnabled'))) {
        $key = Open LocalMachine $one[0]
        @{ Path = $one[0]; Name = $one[1]; Value = $(if ($key) { Plain $key.GetValue($one[1]) }) }
    }
}
Part 'certificates' { foreach ($store in 'My', 'Root', 'CA') { Get-ChildItem "Cert:\LocalMachine\$store" | ForEach-Object { @{ store = $store; raw = Plain $_.RawData; HasPrivateKey = $_.HasPrivateKey } } } }
Part 'update_policy' { $policy = 'SOFTWARE\Policies\Microsoft\Windows\WindowsUpdate'; $found = Values LocalMachine "$policy\AU" NoAutoUpdate, AUOptions, ScheduledInstallDay, ScheduledInstallTime, NoAutoRebootWithLoggedOnUsers, UseWUServer; if (-not $found) { $found = @{} }; $more = Values LocalMachine $policy WUServer; if ($more) { $found['WUServer'] = $more['WUServer'] }; $found }
Part 'reboot' {
    $session = Values LocalMachine "$control\Session Manager" PendingFileRenameOperations
    $active = Values LocalMachine "$control\ComputerName\ActiveComputerName" ComputerName
    $next = Values LocalMachine "$control\ComputerName\ComputerName" ComputerName
    @{
        Servicing = [bool](Open LocalMachine "$current\Component Based Servicing\RebootPending")
        Update = [bool](Open LocalMachine "$current\WindowsUpdate\Auto Update\RebootRequired")
        Renames = @($session['PendingFileRenameOperations'] | Where-Object { $_ }).Count
        Renamed = [bool]($active['ComputerName'] -ne $next['ComputerName'])
    }
}
Part 'remote_settings' {
    $found = Values LocalMachine "$control\Terminal Server" fDenyTSConnections
    $tcp = Values LocalMachine "$control\Terminal Server\WinStations\RDP-Tcp" PortNumber, UserAuthentication
    $sshd = "$env:ProgramData\ssh\sshd_config"
    @{ fDenyTSConnections = $found['fDenyTSConnections']; PortNumber = $tcp['PortNumber']; UserAuthentication = $tcp['UserAuthentication']; sshd = $(if (Test-Path $sshd) { [IO.File]::ReadAllText($sshd) }) }
}
Part 'enrollments' { Subkeys LocalMachine 'SOFTWARE\Microsoft\Enrollments' ProviderID, EnrollmentState, EnrollmentType, DiscoveryServiceFullURL }
Part 'joins' { Subkeys LocalMachine "$control\CloudDomainJoin\JoinInfo" TenantId }

# --- people ---
Part 'users' { Get-LocalUser | Select-Object Name, @{ n = 'SID'; e = { $_.SID.Value } }, Enabled, PasswordRequired, PasswordLastSet }
Part 'groups' { foreach ($group in Get-LocalGroup) { $members = $null; try { $members = @(Get-LocalGroupMember -SID $group.SID.Value | ForEach-Object { @{ Name = [string]$_.Name; SID = $_.SID.Value } }) } catch { $members = $null }; @{ Name = $group.Name; SID = $group.SID.Value; Members = $members } } }
Part 'profiles' { Cim 'Win32_UserProfile' SID, LocalPath, Special }
Part 'logon_sessions' { $kinds = @{}; Get-CimInstance Win32_LogonSession | ForEach-Object { $kinds[[string]$_.LogonId] = $_ }; Get-CimInstance Win32_LoggedOnUser | ForEach-Object { $one = $kinds[[string]$_.Dependent.LogonId]; if ($one) { @{ User = $_.Antecedent.Name; Domain = $_.Antecedent.Domain; LogonType = $one.LogonType; StartTime = $one.StartTime; LogonId = [string]$one.LogonId } } } }
Part 'logons' {
    $query = "*[System[EventID=4624] and EventData[Data[@Name='LogonType']='2' or Data[@Name='LogonType']='10' or Data[@Name='LogonType']='11']]"
    try { $found = @(Get-WinEvent -LogName Security -FilterXPath $query -MaxEvents 50) }
    catch { if ([string]$_.FullyQualifiedErrorId -notlike 'NoMatchingEventsFound*') { throw }; $found = @() }
    $found | ForEach-Object { @{ At = $_.TimeCreated; User = [string]$_.Properties[5].Value; Domain = [string]$_.Properties[6].Value; LogonType = [int]$_.Properties[8].Value; Address = [string]$_.Properties[18].Value } }
}

# --- what happened ---
Part 'events_boot' { Events @{ LogName = 'System'; Id = 6005, 6006; ProviderName = 'EventLog' } 200 | Select-Object Id, TimeCreated }
Part 'dumps' { @(Get-ChildItem "$env:SystemRoot\Minidump\*.dmp", "$env:SystemRoot\MEMORY.DMP" -ErrorAction SilentlyContinue) | Select-Object FullName, Length, LastWriteTimeUtc }
Part 'events_crash' { Events @{ LogName = 'Application'; Id = 1000; ProviderName = 'Application Error' } 100 | ForEach-Object { @{ At = $_.TimeCreated; Program = [string]$_.Properties[0].Value; Code = [string]$_.Properties[6].Value } } }
Part 'events_summary' { Events @{ LogName = 'System', 'Application'; Level = 1, 2; StartTime = (Get-Date).AddDays(-1) } 5000 | Group-Object ProviderName, Level | ForEach-Object { @{ Provider = $_.Group[0].ProviderName; Level = [int]$_.Group[0].Level; Count = $_.Count; Last = ($_.Group | Measure-Object TimeCreated -Maximum).Maximum } } }

# --- what runs, and when ---
Part 'services' { Cim 'Win32_Service' Name, DisplayName, State, StartMode, DelayedAutoStart, ExitCode, ProcessId }
Part 'processes' { Cim 'Win32_Process' ProcessId, ParentProcessId, Name, ThreadCount, WorkingSetSize, CreationDate }
Part 'run_keys' {
    $places = @(@('LocalMachine', "$current\", 64, ''), @('LocalMachine', "$current\", 32, ''))
    foreach ($sid in People) { $places += , @('Users', "$sid\Software\Microsoft\Windows\CurrentVersion\", 64, $sid) }
    foreach ($place in $places) { foreach ($kind in 'Run', 'RunOnce') {
            $key = Open $place[0] ($place[1] + $kind) $place[2]
            if ($key) { foreach ($name in $key.GetValueNames()) { @{ kind = $kind; bits = $place[2]; sid = $place[3]; name = $name; command = [string]$key.GetValue($name) } } }
    } }
}
Part 'run_approved' {
    $places = @(, @('LocalMachine', "$current\Explorer\StartupApproved\", ''))
    foreach ($sid in People) { $places += , @('Users', "$sid\Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\", $sid) }
    foreach ($place in $places) { foreach ($kind in 'Run', 'Run32', 'StartupFolder') {
            $key = Open $place[0] ($place[1] + $kind)
            if ($key) { foreach ($name in $key.GetValueNames()) { @{ kind = $kind; sid = $place[2]; name = $name; state = Plain $key.GetValue($name) } } }
    } }
}
Part 'startup_folders' {
    $folders = @(@{ path = "$env:ProgramData\Microsoft\Windows\Start Menu\Programs\StartUp"; sid = '' })
    Get-CimInstance Win32_UserProfile -Filter 'Special = FALSE' | ForEach-Object { $folders += @{ path = "$($_.LocalPath)\AppData\Roaming\Microsoft\Windows\Start Menu\Programs\Startup"; sid = $_.SID } }
    foreach ($one in $folders) { Get-ChildItem $one.path -File -ErrorAction SilentlyContinue | Where-Object { $_.Name -ne 'desktop.ini' } | ForEach-Object { @{ name = $_.Name; path = $_.FullName; sid = $one.sid } } }
}
Part 'tasks' { Get-ScheduledTask | ForEach-Object { $info = $null; try { $info = $_ | Get-ScheduledTaskInfo } catch { $info = $null }; @{ Path = $_.TaskPath; Name = $_.TaskName; State = [int]$_.State; User = [string]$_.Principal.UserId; Execute = [string]@($_.Actions)[0].Execute; Triggers = @($_.Triggers | Where-Object { $_ } | ForEach-Object { $_.CimClass.CimClassName }); LastTaskResult = $(if ($info) { $info.LastTaskResult }) } } }

# --- software ---
Part 'uninstall' {
    $names = 'DisplayName', 'DisplayVersion', 'Publisher', 'InstallDate', 'EstimatedSize', 'SystemComponent', 'ParentKeyName', 'ReleaseType', 'WindowsInstaller'
    foreach ($bits in 64, 32) { Subkeys LocalMachine "$current\Uninstall" $names $bits | ForEach-Object { $_['bits'] = $bits; $_ } }
    foreach ($sid in People) { Subkeys Users "$sid\Software\Microsoft\Windows\CurrentVersion\Uninstall" $names | ForEach-Object { $_['sid'] = $sid; $_ } }
}
Part 'appx' { try { $found = Get-AppxPackage -AllUsers } catch { $found = Get-AppxPackage }; $found | Select-Object Name, Version, Publisher, IsFramework, NonRemovable, @{ n = 'Architecture'; e = { [string]$_.Architecture } } }
Part 'licences' { Cim 'SoftwareLicensingProduct' Name, Description, LicenseStatus, PartialProductKey, ProductKeyChannel, GracePeriodRemaining, EvaluationEndDate -Filter 'PartialProductKey IS NOT NULL' }
Part 'winget_sources' { $app = Get-AppxPackage Microsoft.DesktopAppInstaller | Select-Object -First 1; if ($app) { @{ printed = Printed "$($app.InstallLocation)\winget.exe" 'source export --disable-interactivity' } } }
Part 'choco_sources' { $file = "$env:ProgramData\chocolatey\config\chocolatey.config"; if (Test-Path $file) { ([xml](Get-Content -Raw $file)).chocolatey.sources.source | ForEach-Object { @{ id = $_.id; value = $_.value; disabled = $_.disabled } } } }
Part 'docker' { $file = "$env:ProgramFiles\Docker\Docker\resources\bin\docker.exe"; if (-not (Test-Path $file)) { $file = "$env:ProgramFiles\Docker\docker.exe" }; if (Test-Path $file) { @{ printed = Printed $file 'ps -a --no-trunc --format "{{json .}}"' } } }
Part 'wsl' { foreach ($sid in People) { Subkeys Users "$sid\Software\Microsoft\Windows\CurrentVersion\Lxss" DistributionName, Version, Flavor | ForEach-Object { $_['sid'] = $sid; $_ } } }
Part 'wsl_running' { $file = "$env:SystemRoot\System32\wsl.exe"; if (Test-Path $file) { @{ printed = Printed $file '--list --running --quiet' } } }
Part 'hyperv' { Get-VM | Select-Object Name, @{ n = 'Id'; e = { [string]$_.Id } }, @{ n = 'State'; e = { [int]$_.State } }, MemoryStartup, ProcessorCount }
Part 'hypervisors' { Cim 'Win32_Service' Name, State -Filter "Name = 'vmms'" }
Part 'culture' { @{ system = (Get-WinSystemLocale).Name; culture = (Get-Culture).Name; timezone = [TimeZoneInfo]::Local.Id; layout = (Values Users '.DEFAULT\Keyboard Layout\Preload' '1')['1'] } }
Part 'time_settings' { $found = Values LocalMachine "$services\W32Time\Parameters" NtpServer, Type; if (-not $found) { $found = @{} }; $zone = Values LocalMachine "$control\TimeZoneInformation" RealTimeIsUniversal; $found['RealTimeIsUniversal'] = $zone['RealTimeIsUniversal']; $found['timezone'] = [TimeZoneInfo]::Local.Id; $found['running'] = (Get-Service W32Time).Status -eq 'Running'; $found }
Part 'w32tm' { @{ printed = Printed "$env:SystemRoot\System32\w32tm.exe" '/query /status /verbose' } }
Part 'browsers' {
    $places = @{ chrome = 'Local\Google\Chrome\User Data'; edge = 'Local\Microsoft\Edge\User Data'; brave = 'Local\BraveSoftware\Brave-Browser\User Data'; vivaldi = 'Local\Vivaldi\User Data'; chromium = 'Local\Chromium\User Data' }
    foreach ($person in Homes) {
        foreach ($browser in $places.Keys) { Get-ChildItem "$person\AppData\$($places[$browser])\*\Extensions\*\*\manifest.json" -ErrorAction SilentlyContinue | Select-Object -First 500 | ForEach-Object { $way = $_.FullName.Split('\'); @{ user = (Split-Path -Leaf $person); browser = $browser; profile = $way[-5]; id = $way[-3]; manifest = [IO.File]::ReadAllText($_.FullName) } } }
        Get-ChildItem "$person\AppData\Roaming\Mozilla\Firefox\Profiles\*\extensions.json" -ErrorAction SilentlyContinue | ForEach-Object { @{ user = (Split-Path -Leaf $person); browser = 'firefox'; profile = $_.Directory.Name; extensions = [IO.File]::ReadAllText($_.FullName) } }
    }
}
Part 'editors' {
    $places = @{ vscode = '.vscode'; vscodium = '.vscode-oss'; cursor = '.cursor'; windsurf = '.windsurf' }
    foreach ($person in Homes) { foreach ($editor in $places.Keys) { $file = "$person\$($places[$editor])\extensions\extensions.json"; if (Test-Path $file) { @{ user = (Split-Path -Leaf $person); editor = $editor; extensions = [IO.File]::ReadAllText($file) } } } }
}
Part 'language_packages' {
    $sites = @("$env:ProgramFiles\Python3*\Lib\site-packages"); foreach ($person in Homes) { $sites += "$person\AppData\Local\Programs\Python\Python3*\Lib\site-packages", "$person\AppData\Roaming\Python\Python3*\site-packages" }
    foreach ($site in $sites) { Get-ChildItem $site -Directory -Filter '*-info' -ErrorAction SilentlyContinue | ForEach-Object { @{ manager = 'pip'; folder = $_.Parent.FullName; name = $_.Name } } }
    $modules = @("$env:ProgramFiles\nodejs\node_modules"); foreach ($person in Homes) { $modules += "$person\AppData\Roaming\npm\node_modules" }
    foreach ($one in $modules) { Get-ChildItem "$one\*\package.json", "$one\@*\*\package.json" -ErrorAction SilentlyContinue | ForEach-Object { @{ manager = 'npm'; folder = $one; text = [IO.File]::ReadAllText($_.FullName) } } }
    foreach ($person in Homes) { $file = "$person\.cargo\.crates2.json"; if (Test-Path $file) { @{ manager = 'cargo'; folder = "$person\.cargo"; text = [IO.File]::ReadAllText($file) } } }
}

[Console]::Out.Write((@{ parts = $parts } | ConvertTo-Json -Depth 8 -Compress))
