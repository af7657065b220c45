dist_man_MANS += %D%/moldau.1 %D%/moldau-dev.1 %D%/moldau-topics.1 %D%/moldau-produce.1 \
	%D%/moldau-consume.1 %D%/moldau-groups.1 %D%/moldau-log.1 %D%/moldau-broker.8
