FROM debian:12
ENV a=b
ENV a=b c=d   e=f
ENV one="two three" four='five six' seven=eight\ nine
ENV empty= quoted="" single='' last=x
ENV nested="a 'b' c" other='d "e" f' third=g"h i"j'k l'm
ENV escaped=a\"b c=\'d e=\\ f="\"" g="\\" h='\' i=j
ENV dollar=$a braces=${a} "default=${a:-b c}" more="${a:+d e}"
ENV path=/usr/local/bin:$PATH
ENV equals=a=b=c d==
ENV tab=a	next=b
ENV unicode=é "quo ted"=x
ENV trailing=backslash\
