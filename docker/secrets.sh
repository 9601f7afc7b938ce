#!/bin/sh
# Makes the secrets that compose.yaml mounts, each in a file of docker/secrets (or of the folder that is named), once:
# a file that is there is kept, and so a second run changes nothing. Needs openssl. The files are readable for the
# users of the images, so their folder is closed to everybody else on this host.
#
#     docker/secrets.sh [FOLDER]
set -eu
umask 022

folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"

random() { openssl rand -hex "$1"; }

# keep NAME, the content from standard input: written whole or not at all.
keep() {
    if [ -s "$1" ]; then
        cat >/dev/null
    else
        cat >".$1"
        mv ".$1" "$1"
        echo "made $1"
    fi
}

random 40 | keep secret_key
openssl rand -base64 32 | tr '+/' '-_' | keep credentials_keys
random 24 | keep metrics_token
random 24 | keep db_password
random 24 | keep logs_db_password
random 24 | keep grafana_password
echo "admin:$(random 16)" | keep flower_basic_auth

echo "postgresql://sendmsg:$(cat db_password)@db:5432/sendmsg" | keep database_url
echo "postgresql://sendmsg:$(cat logs_db_password)@logs-db:5432/sendmsg_logs" | keep logs_database_url

# The password of Redis is in its URL and in its list of users; that of RabbitMQ in its URL and, hashed, in its users.
password=$(random 24)
[ -s redis_url ] || rm -f redis_acl
echo "redis://:$password@redis:6379/0" | keep redis_url
password=$(sed 's,^redis://:,,; s,@.*,,' redis_url)
echo "user default on >$password ~* &* +@all" | keep redis_acl

password=$(random 24)
[ -s broker_url ] || rm -f rabbitmq_users
echo "amqp://sendmsg:$password@rabbitmq:5672/sendmsg" | keep broker_url
password=$(sed 's,^amqp://sendmsg:,,; s,@.*,,' broker_url)
# As RabbitMQ has it: four bytes of salt, then the SHA-256 of salt and password, all in base64.
salt=$(openssl rand -base64 6 | cut -c 1-4)
hash=$({
    printf %s "$salt"
    printf %s "$salt$password" | openssl dgst -sha256 -binary
} | openssl base64 -A)
keep rabbitmq_users <<END
{
  "users": [
    {
      "name": "sendmsg",
      "password_hash": "$hash",
      "hashing_algorithm": "rabbit_password_hashing_sha256",
      "tags": ["monitoring"]
    }
  ],
  "permissions": [
    {"user": "sendmsg", "vhost": "sendmsg", "configure": ".*", "write": ".*", "read": ".*"}
  ]
}
END
