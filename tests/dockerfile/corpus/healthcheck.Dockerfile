FROM debian:12
HEALTHCHECK NONE
HEALTHCHECK CMD true
HEALTHCHECK   CMD   a   b  
HEALTHCHECK --interval=30s --timeout=1m30s --start-period=500ms --start-interval=1.5h --retries=5 CMD ["a","b"]
HEALTHCHECK --interval=0s CMD [ "a" ]
HEALTHCHECK cmd	tab
HEALTHCHECK --retries=0 \
  CMD curl \
    -f http://localhost
