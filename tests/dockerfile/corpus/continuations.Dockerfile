FROM debian:12
RUN apt-get update && \
    apt-get install -y --no-install-recommends \
        ca-certificates \
        curl
RUN echo spaces after \   
    are fine
RUN echo tab after \	
    too
RUN echo no \\
RUN echo \\\
RUN a\
b\
c
ENV a=1 \
    b=2\
    c=3
LABEL \
  a=b
\
RUN joined
RUN \
  # only comments
  # between
  echo late
