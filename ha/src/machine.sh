# Runs a program on a machine of the rig: in the machine's network, with its own /etc, /run and data.
# sh machine.sh DIRECTORY PATRONI USER ENVIRONMENT COMMAND...
#
# `ip netns exec` has given this process mounts of its own, so nothing here is seen from outside.
set -eu
machine=$1 patroni=$2 user=$3 environment=$4
shift 4

mount --bind "$machine/run" /run
# Patroni's packages. Without them it is the host's own.
if [ -n "$patroni" ]; then
    mount --bind "$patroni" /run/patroni
fi
mount --bind "$machine/var/lib/etcd" /var/lib/etcd
mount --bind "$machine/var/lib/postgresql" /var/lib/postgresql

# The host's /etc, with the machine's own files over it. They are linked below /run, because the servers' users may not
# be able to go through the directories above this one.
mount --bind /etc /run/host-etc
mount --bind "$machine/etc" /run/machine-etc
mount -t tmpfs -o mode=755 tmpfs /etc
ln -s /run/host-etc/* /etc/
for file in /run/machine-etc/*; do
    ln -sfn "$file" "/etc/${file##*/}"
done

if [ -f "$environment" ]; then
    set -a
    . "$environment"
    set +a
fi
export PYTHONPATH=/run/patroni
HOME=$(getent passwd "$user" | cut -d: -f6)
export HOME
cd /
exec setpriv --reuid "$user" --regid "$user" --init-groups "$@"
