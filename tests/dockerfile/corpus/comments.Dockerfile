# a comment is no directive: it has no value
# syntax=not/read/any:more

   # indented comment
FROM debian:12
	# comment after a tab
#
RUN echo '# no comment' # nor this
RUN true
# escape=`
RUN echo \
    # in between \
    one \
# at the margin
    two
# at the end
