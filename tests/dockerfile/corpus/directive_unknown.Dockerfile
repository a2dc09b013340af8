# hint=this ends the directives
# escape=`
FROM debian:12
RUN echo a \
  b
