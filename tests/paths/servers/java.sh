#!/bin/sh
# Runs the program that is compiled beside this script, with the unpacked libraries, on the unpacked Java or else on the
# system's.
folder=$(dirname "$0")
for java in "$folder"/usr/lib/jvm/*/bin/java java; do
  command -v "$java" >/dev/null && exec "$java" -XX:TieredStopAtLevel=1 -cp "$folder/classes:$folder/usr/share/java/*" \
    -Dorg.eclipse.jetty.util.log.class=org.eclipse.jetty.util.log.StdErrLog -Dorg.eclipse.jetty.LEVEL=OFF Paths "$@"
done
