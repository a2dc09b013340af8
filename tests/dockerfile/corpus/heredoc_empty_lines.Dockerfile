FROM debian:12
RUN <<EOF

  
EOF 
 EOF
EOFX

EOF

RUN true
