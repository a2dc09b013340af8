FROM debian:12
COPY a /b
COPY a b c/ /d/
COPY --chown=user:group a /b
COPY --chown=55:mygroup --chmod=0644 --link a /b
COPY --from=0 /a /b
COPY --from=build --chown=10:11 /a /b/c
COPY --link=false --parents ./x/./y/*.txt /z/
COPY --exclude=*.o --exclude=**/*.tmp src /src
COPY hom?.txt *.go [a-c]*.c /mydir/
COPY arr[[]0].txt /mydir/
COPY $src ${dst:-/x}
COPY "quoted" 'single' /x
COPY back\slash /x
COPY	tab	/x
COPY -- --odd /x
