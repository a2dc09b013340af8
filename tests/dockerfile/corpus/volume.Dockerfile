FROM debian:12
VOLUME /a
VOLUME /a /b   /c
VOLUME ["/a"]
VOLUME ["/a", "/b with space"]
VOLUME $a ${b}
VOLUME "/a" '/b'
VOLUME [ "/x" ]
