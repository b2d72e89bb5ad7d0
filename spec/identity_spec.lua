-- SPDX-License-Identifier: MIT
-- The accounts of a guest, and what of the host's /etc it is shown: what can be said without a guest.
local identity = require "sandbox.run.identity"
local etc = require "sandbox.machine.etc"

-- The names of one field of a file's lines, and whether one is there twice.
local function field(text, n)
  local list, seen = {}, {}
  for line in text:gmatch "[^\n]+" do
    local at, parts = 0, {}
    for part in (line .. ":"):gmatch "([^:]*):" do at, parts[at + 1] = at + 1, part end
    assert.is_nil(seen[parts[n]], text)
    seen[parts[n]] = true
    list[#list + 1] = parts[n]
  end
  return table.concat(list, " ")
end

describe("a guest's accounts", function()
  it("are itself, root and nobody, each id and each name once", function()
    for _, case in ipairs{
      { uid = 65534, gid = 65534, users = "root sandbox", uids = "0 65534", groups = "root sandbox" },
      { uid = 12345, gid = 100, users = "root sandbox nobody", uids = "0 12345 65534", groups = "root sandbox nogroup" },
      { uid = 0, gid = 0, users = "root nobody", uids = "0 65534", groups = "root nogroup" },
      { uid = 0, gid = 7, users = "root nobody", uids = "0 65534", groups = "root sandbox nogroup" },
      { uid = 4294967294, gid = 0, groups = "root nogroup group20", users = "root sandbox nobody", uids = "0 4294967294 65534", more = { 0, 20, 65534, 20 } },
    } do
      local passwd, group = identity.files({ uid = case.uid, gid = case.gid, additionalGids = case.more }, { "HOME=/h" })
      assert.are.equal(case.users, field(passwd, 1))
      assert.are.equal(case.uids, field(passwd, 3))
      assert.are.equal(case.groups, field(group, 1))
      field(group, 3)
      assert.is_truthy(passwd:find((":%.0f:%.0f:[^:]*:/h:/bin/sh\n"):format(case.uid, case.gid)), passwd)
    end
  end)

  it("have HOME as home, where it can be one", function()
    for home, is in pairs{ ["/a b"] = "/a b", [""] = "/", x = "/", ["/a:b"] = "/", ["/a\nroot::0:0::/:/bin/sh"] = "/", ["/a\255"] = "/a\255" } do
      local passwd = identity.files({ uid = 5, gid = 5 }, { "HOME=" .. home })
      assert.are.equal("/root " .. is .. " /nonexistent", field(passwd, 6))
    end
    assert.are.equal("/root / /nonexistent", field(identity.files({ uid = 5, gid = 5 }, { "HOMER=/x" }), 6))
    assert.are.equal("/ /nonexistent", field(identity.files(nil, nil), 6))
  end)
end)

-- What Debian's services, tools and administrators keep in /etc that is a machine's own.
local PRIVATE = [[.pwd.lock .git .java PackageKit NetworkManager adduser.conf adjtime aliases aliases.db anacrontab ansible apache2 apparmor apparmor.d
  apt at.deny at.allow audit avahi bind binfmt.d bluetooth boto.cfg caddy ceph chrony chrony.conf cloud cni consul.d containerd containers corosync
  couchdb cron.d cron.daily cron.hourly cron.monthly cron.weekly crontab crypttab cups datadog-agent dbus-1 debconf.conf default deluser.conf dhcp
  dnsmasq.conf dnsmasq.d docker doas.conf dovecot elasticsearch environment etckeeper exim4 exports fail2ban fstab fuse.conf ftpusers gitconfig gitlab
  gitlab-runner glusterfs gnupg grafana group group- grub.d gshadow gshadow- haproxy hostname hosts hosts.allow hosts.deny init.d initramfs-tools
  influxdb ipsec.conf ipsec.d ipsec.secrets iscsi issue issue.net jenkins kernel krb5.conf krb5.keytab krb5kdc kubernetes ldap letsencrypt libvirt
  lighttpd locale.conf~ login.defs logrotate.conf logrotate.d lvm lxc machine-id mail mailname mail.rc mariadb mdadm modprobe.d modules modules-load.d
  mongod.conf monit motd msmtprc multipath.conf munin my.cnf mysql nagios netplan network netrc nftables.conf nginx nomad.d nslcd.conf npmrc ntp.conf
  ntpsec odbc.ini openvpn opendkim.conf pacemaker pam.conf pam.d passwd passwd- php.ini.bak pip.conf polkit-1 postfix postgresql postgresql-common
  ppp proftpd prometheus puppet rabbitmq rancher rc.local rc0.d rcS.d redis resolv.conf resolvconf rsyncd.conf rsyncd.secrets rsyslog.conf rsyslog.d
  salt samba security selinux shadow shadow- shells smartd.conf snmp squid ssh sssd strongswan.conf stunnel subgid subgid- subuid sudo.conf sudoers
  sudoers.d swanctl sysctl.conf sysctl.d systemd tailscale telegraf tinc tmpfiles.d tomcat9 tor udev ufw unbound update-motd.d vault.d vsftpd.conf
  wgetrc wireguard wpa_supplicant zabbix zookeeper]]
-- What programs below /usr read.
local SHOWN = [[ImageMagick-6 ImageMagick-7 R X11 alternatives bash.bashrc ca-certificates ca-certificates.conf crypto-policies emacs erlang fonts
  fpc.cfg fpc-3.2.2.cfg gdb ghostscript groff gtk-3.0 host.conf inputrc java-17-openjdk java-21-openjdk ld.so.cache ld.so.conf ld.so.conf.d
  locale.alias localtime lua luarocks magic mailcap maven mime.types nanorc node nsswitch.conf opt os-release papersize perl php pki profile
  profile.d protocols python3 python3.11 rpc ruby services sgml skel ssl terminfo texmf timezone vim vulkan xdg xml]]

describe("/etc as a guest has it", function()
  it("is without what is the machine's own", function()
    for name in PRIVATE:gmatch "%S+" do assert.is_true(etc.is_private(name), name) end
  end)

  it("has what runtimes keep there", function()
    for name in SHOWN:gmatch "%S+" do assert.is_false(etc.is_private(name), name) end
  end)
end)
