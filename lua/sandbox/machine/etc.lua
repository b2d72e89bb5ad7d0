-- SPDX-License-Identifier: MIT
--- What of the host's /etc a guest of `rootfs = "host"` does not see: what is private to the machine (its names, accounts, keys, services
-- and how it is reached), and whatever not everybody may read. The rest stays: compilers, interpreters and libraries keep parts of
-- themselves there, and which ones is for the packages that are installed to say.
-- @module sandbox.machine.etc
local M = {}

-- Names in /etc, as Lua patterns for the whole of a name. Who adds a service here thinks of what its configuration may hold.
local private = {
  -- backups and what editors, package managers and version control leave
  "%..*", ".*%-", ".*~", ".*%.bak", ".*%.old", ".*%.orig", ".*%.save", ".*%.dpkg%-.*", ".*%.ucf%-.*", ".*%.rpm.*",
  -- the machine: its name, its disks, how it starts
  "hostname", "hosts.*", "resolv.*", "machine%-id", "machine%-info", "mailname", "adjtime", "fstab.*", "crypttab.*", "exports.*",
  "mdadm.*", "lvm", "iscsi", "multipath.*", "network", "netplan", "avahi", "NetworkManager", "dhcp.*", "wpa_supplicant", "bluetooth", "ppp", "chatscripts",
  "systemd", "udev", "init", "init%.d", "inittab", "rc.*%.d", "rc%.local", "insserv.*", "default", "environment.*", "cron.*", "anacrontab", "at%..*",
  "modprobe%.d", "modules.*", "kernel.*", "grub.*", "initramfs%-tools", "sysctl.*", "sysfs.*", "tmpfiles%.d", "binfmt%.d", "cloud", "waagent.*", "qemu.*",
  -- accounts and how one logs in
  "passwd.*", "group.*", "shadow.*", "gshadow.*", "subuid.*", "subgid.*", "sudo.*", "doas.*", "pam.*", "security", "login.*", "securetty", "shells.*",
  "nslcd.*", "sssd", "krb5.*", "ldap", "libnss.*", "libpam.*", "samba", "smb.*", "freeipa", "ipa", "opasswd", "polkit%-1", "dbus%-1", "yubico", "u2f.*",
  -- keys and tunnels
  "ssh.*", "dropbear.*", "ipsec.*", "strongswan.*", "swanctl", "wireguard", "openvpn", "tinc", "letsencrypt", "acme.*", "tor", "stunnel.*", "gnupg.*", "tailscale",
  -- where credentials of package managers and tools are kept for all users
  "apt", "yum.*", "dnf", "npmrc", "pip.*", "gitconfig", "netrc", "wgetrc", "curlrc", "boto.*", "aws.*", "google.*", "azure.*", "s3cfg", "rclone.*",
  "containers", "docker.*", "containerd", "cni", "kubernetes", "rancher", "nomad.*", "consul.*", "vault.*", "ansible", "puppet.*", "salt", "chef.*",
  -- services
  "aliases.*", "exim.*", "postfix", "sendmail.*", "mail", "mail%.rc", "dovecot", "msmtprc", "ssmtp", "nullmailer", "opendkim.*", "spamassassin", "apache2", "httpd",
  "nginx", "lighttpd", "caddy", "haproxy", "squid.*", "varnish", "traefik", "mysql", "mariadb", "postgresql.*", "redis", "valkey", "mongo.*", "rabbitmq",
  "elasticsearch", "kibana", "influxdb", "cassandra", "couchdb", "memcached.*", "etcd", "zookeeper", "kafka", "bind", "unbound", "dnsmasq.*", "nsd",
  "powerdns", "ntp.*", "chrony.*", "cups", "snmp", "nut", "smartd.*", "fail2ban", "ufw", "iptables.*", "nftables.*", "firewalld", "shorewall.*",
  "audit.*", "rsyslog.*", "syslog.*", "logrotate.*", "logcheck", "monit.*", "munin", "nagios.*", "icinga.*", "zabbix", "telegraf", "prometheus",
  "grafana", "datadog.*", "newrelic.*", "filebeat", "rsync.*", "proftpd", "vsftpd.*", "ftp.*", "jenkins", "gitlab.*", "gitea", "forgejo", "woodpecker",
  "keepalived", "corosync", "pacemaker", "drbd.*", "ceph", "glusterfs", "libvirt", "lxc", "lxd", "incus", "xen", "apparmor.*", "selinux", "tomcat.*",
  "etckeeper", "fuse%.conf", "my%.cnf.*", "odbc.*", "PackageKit",
  "update%-motd%.d", "motd.*", "issue.*", "ucf%.conf", "debconf%.conf", "adduser%.conf", "deluser%.conf", "e2scrub%.conf",
}
-- Below names that stay.
local nested = { "ssl/private", "ssl/certs/private", "pki/tls/private", "pki/nssdb", "ca-certificates/private" }

-- Most are no patterns: those are looked up. Of the others, those that begin with a letter are asked of names that do.
local exact, patterns = {}, { any = {} }
for _, pattern in ipairs(private) do
  local plain, first = pattern:gsub("%%(.)", "%1"), pattern:match "^%a" or "any"
  patterns[first] = patterns[first] or {}
  if pattern:gsub("%%.", ""):find "[.*]" then table.insert(patterns[first], "^" .. pattern .. "$") else exact[plain] = true end
end

local function fits(name, list)
  for _, pattern in ipairs(list or {}) do
    if name:find(pattern) then return true end
  end
  return false
end

local function is_private(name)
  return exact[name] or fits(name, patterns[name:sub(1, 1)]) or fits(name, patterns.any)
end
M.is_private = is_private

--- What is not shown of it. That not everybody may read a file is found out by the supervisor, at each start.
-- @tparam table core
-- @treturn {string,...} paths below /etc, sorted; never none, for the supervisor shows only what it has a list for
function M.hidden(core)
  local out = {}
  for _, name in ipairs(core.readdir "/etc" or {}) do
    if is_private(name) then out[#out + 1] = name end
  end
  for _, path in ipairs(nested) do out[#out + 1] = path end
  table.sort(out)
  return out
end

--- Its names that are shown, where everybody may read them.
-- @tparam table core
-- @treturn {string,...} sorted
function M.shown(core)
  local out = {}
  for _, name in ipairs(core.readdir "/etc" or {}) do
    local st = not is_private(name) and core.lstat("/etc/" .. name)
    if st and (st.type == "link" or st.mode % 8 >= (st.type == "directory" and 5 or 4)) then out[#out + 1] = name end
  end
  table.sort(out)
  return out
end

return M
