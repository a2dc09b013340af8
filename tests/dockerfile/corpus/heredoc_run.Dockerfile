FROM debian:12
RUN <<EOF
apt-get update
  apt-get install -y curl
# no comment of the Dockerfile
RUN no instruction \
  no continuation

EOF
RUN <<EOF cat > /a
content
EOF
RUN cat <<EOF > /b && echo done
content
EOF
RUN python3 <<'EOF'
print("a $b \n")
EOF
RUN <<"EOF"
x
EOF
RUN <<E"O"F
x
EOF
RUN <<EOF
#!/usr/bin/env python3
print("hello")
EOF
RUN <<E\OF
x
EOF
