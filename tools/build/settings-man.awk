# settings-man.awk - proto/settings.def -> moldau-broker.conf(5), so that no setting exists in code only.
function text(s) {			# the part between the first and the last quote
	sub(/^[^"]*"/, "", s); sub(/"\)?$/, "", s)
	gsub(/\\/, "\\e", s)
	return s
}
function item(doc,   d) {
	d = def == "NULL" ? "not set" : def == "\"\"" ? "empty" : text(def)
	printf ".It Sy %s\n%s, default %s", name, tolower(type), d
	if (valid != "") { gsub(/\|/, ", ", valid); gsub(/\.\.,/, " or more,", valid); sub(/\.\.$/, " or more", valid); gsub(/\.\./, " to ", valid); printf "; allowed: %s", valid }
	if (how != "") printf "; %s", how
	print "."
	gsub(/\. /, ".\n", doc)
	print doc
}
BEGIN {
	print ".\\\" made from proto/settings.def"
	print ".Dd November 24, 2026\n.Dt MOLDAU-BROKER.CONF 5\n.Os\n.Sh NAME\n.Nm moldau-broker.conf\n.Nd settings of a broker"
	print ".Sh DESCRIPTION\nA properties file: one"
	print ".Ar name Ns = Ns Ar value\na line, comments begin with #, a backslash at the end of a line continues it."
	print "Names and values are those of Apache Kafka; names of Kafka that have no meaning here are accepted with a"
	print "warning, any other unknown name is an error.\n.Sh BROKER SETTINGS\n.Bl -tag -width Ds"
}
/^BROKER\(|^TOPIC\(/ {
	topic = /^TOPIC/
	if (topic && !seen++)
		print ".El\n.Sh TOPIC SETTINGS\nSet for a topic when it is created or altered.\nWithout it the broker settings named count, in their order.\n.Bl -tag -width Ds"
	line = $0; n = 0
	sub(/^[A-Z]+\(/, "", line)
	while (line != "") {		# fields are separated by ", " outside of quotes
		if (match(line, /^"[^"]*"/) || match(line, /^[^,]+/)) {
			f[++n] = substr(line, 1, RLENGTH); line = substr(line, RLENGTH + 1)
		}
		sub(/^, ?/, "", line)
	}
	name = text(f[1]); type = f[2]; def = f[3]; valid = text(f[4])
	how = topic ? text(f[5]) : f[5] == "READ_ONLY" ? "read at the start" : f[5] == "PER_BROKER" ? "may be changed per broker" : "may be changed at run time"
	if (topic && how != "") how = "from " how
	next
}
/^\t"/ { item(text($0)) }
END { print ".El\n.Sh SEE ALSO\n.Xr moldau 1 ,\n.Xr moldau-broker 8" }
