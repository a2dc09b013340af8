FROM debian:12
ENV a=${x} b=${x:-y} c=${x:+y} d=${x-y} e=${x+y} "f=${x:?message here}" g=${x?m}
ENV h=${x#a} i=${x##*/} j=${x%.*} k=${x%%.*} l=${x/a/b} m=${x//a/b}
ENV n=${x:-${y:-${z}}} o="${x:-'a b'}" p=$x$y q=$x-$y r=${x}y s=$1 t=$$ u=$
WORKDIR /$a/${b}/\${c}/'$d'/"$e"
COPY ${a}/*.txt "$b" /x/
EXPOSE ${PORTS:-80 443}
