#!/bin/sh
# Runs the Ruby that is unpacked beside this script, or else the system's, with the unpacked libraries.
folder=$(dirname "$0")
join() { echo "$@" | tr ' ' ':'; }
export LD_LIBRARY_PATH="$(join "$folder"/usr/lib/*-linux-gnu)"
export RUBYLIB="$(join "$folder"/usr/lib/ruby/[0-9]* "$folder"/usr/lib/ruby/vendor_ruby \
  "$folder"/usr/lib/ruby/vendor_ruby/[0-9]* "$folder"/usr/lib/*-linux-gnu/ruby/[0-9]* \
  "$folder"/usr/lib/*-linux-gnu/ruby/vendor_ruby/[0-9]*)"
export GEM_PATH="$(join "$folder"/usr/share/rubygems-integration/* "$folder"/usr/lib/*-linux-gnu/rubygems-integration/* \
  /usr/share/rubygems-integration/* /usr/lib/*-linux-gnu/rubygems-integration/*)"
for ruby in "$folder"/usr/bin/ruby[0-9]* ruby; do command -v "$ruby" >/dev/null && exec "$ruby" "$@"; done
