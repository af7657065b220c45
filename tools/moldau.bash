# bash completion of moldau: asks the command itself what it knows, and the cluster for its topics and groups.
_moldau_words() { moldau "$@" --help 2>/dev/null; }

_moldau()
{
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} verb='' i w words=
	local -a at=()
	COMPREPLY=()
	if [ "$COMP_CWORD" = 1 ]; then
		words=$(_moldau_words | sed -n 's/^  \([a-z]*\) .*/\1/p')
	elif [ "${word#-}" != "$word" ]; then
		words=$(_moldau_words "$command" | sed -n 's/^  \(--[a-z-]*\).*/\1/p')
	elif [ "$before" = --output ]; then
		words='table json'
	elif [ "$before" = --compression ]; then
		words='none gzip snappy lz4 zstd'
	elif [ "${before#--}" != "$before" ] && _moldau_words "$command" | grep -q "^  $before [A-Z]"; then
		compopt -o default
		return
	elif [ "$COMP_CWORD" = 2 ] && words=$(_moldau_words "$command" | sed -n "s/^usage: moldau $command \([a-z|-]*|[a-z|-]*\).*/\1/p") &&
		[ -n "$words" ]; then
		words=${words//|/ }
	else
		for ((i = 2; i < COMP_CWORD; i++)); do
			case ${COMP_WORDS[i]} in
			--bootstrap | --bootstrap-server) at=(--bootstrap "${COMP_WORDS[i + 1]}") ;;
			--bootstrap=* | --bootstrap-server=*) at=(--bootstrap "${COMP_WORDS[i]#*=}") ;;
			esac
			[ -n "$verb" ] || [ "${COMP_WORDS[i]#-}" != "${COMP_WORDS[i]}" ] || verb=${COMP_WORDS[i]}
		done
		case $command:$verb in
		topics:describe | topics:delete | topics:add-partitions | produce: | consume:)
			words=$(moldau topics list --timeout 2 "${at[@]}" 2>/dev/null | awk 'NR > 1 { print $1 }') ;;
		groups:describe | groups:delete)
			words=$(moldau groups list --timeout 2 "${at[@]}" 2>/dev/null | awk 'NR > 1 { print $1 }') ;;
		log:)
			words=dump ;;
		log:*)
			compopt -o default
			return ;;
		esac
	fi
	# Not compgen -W: it would expand what is in a group's name.
	while read -r w; do
		if [ -n "$w" ] && [ "${w:0:${#word}}" = "$word" ]; then COMPREPLY+=("$(printf %q "$w")"); fi
	done < <(printf '%s\n' "$words" | tr ' ' '\n')
}
complete -F _moldau moldau
