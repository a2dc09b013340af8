FROM debian:12
ENV name value
ENV name   many   words   here  
ENV name "quoted  value" 'and more'
ENV name a=b
ENV name	tab	separated
ENV name \$x ${y} \
    continued
LABEL name some value = other
ENV "quoted name" value
