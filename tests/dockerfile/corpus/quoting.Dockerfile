FROM debian:12
RUN echo "it's" 'a "b"' "c \"d\"" e\ f "g\\h" 'i\j'
ENV a="it's" b='say "x"' c=\"x\" d=a'b'c"d" e="a
ENV f='unclosed g=h
LABEL i="a\tb" j=a\tb k='a\tb' l="\$x" m=\$x n='$x'
ENV o="${p:-"q"}" s=${t:-'u v'}
ENV w=`x` "z=$(a b)"
WORKDIR "a b"c' d'
USER 'a'"b"
COPY "a b" /c
RUN echo "a" \
  "b \
  c" 'd \
  e'
ENV end="quote at the end of the line\"
