#!/bin/sh
# Runs the PHP that is unpacked beside this script, or else the system's, with the unpacked libraries and extensions.
folder=$(dirname "$0")
export LD_LIBRARY_PATH="$(echo "$folder"/usr/lib/*-linux-gnu | tr ' ' ':')"
for php in "$folder"/usr/bin/php[0-9]*; do
  test -x "$php" && exec "$php" -n -d extension_dir="$(echo "$folder"/usr/lib/php/2*)" -d zend_extension=opcache \
    -d opcache.enable_cli=1 -d extension=tokenizer -d extension=ctype -d extension=mbstring "$@"
done
exec php "$@"
