FROM debian:12
COPY <<EOF /etc/motd
Hello $name
EOF
COPY --chown=1:2 --chmod=600 <<'EOF' /etc/secret
no $expansion
EOF
ADD <<script.sh other.txt /dir/
#!/bin/sh
script.sh
COPY <<EOF /empty
EOF
COPY file <<"two" /dir/
x
two
