FROM debian:12
RUN ['single', 'quotes']
CMD ["unclosed"
ENTRYPOINT ["comma",]
RUN [a, b]
CMD ["a" "b"]
RUN ["bad \x escape"]
RUN [[ -f /etc/passwd ]] && echo yes
RUN [ -f /etc/passwd ] || exit 1
VOLUME [/a, /b]
COPY ['a', '/b']
ADD ["a", /b]
HEALTHCHECK CMD [ -f /ok ]
CMD "["a"]"
ENTRYPOINT {"a": "b"}
ONBUILD RUN ['a']
RUN ["tab	inside"]
CMD [NaN]
RUN [1e999]
