FR\
OM debian:12
R\
UN echo \
a
ENV a\
=b
CMD [ \
  "a", \
  # comment in JSON
  "b" \
]
