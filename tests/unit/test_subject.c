/* test_subject.c - which certificates are on a list of names. */
#include <criterion/criterion.h>

#include "quorum/subject.h"

Test(subject, lists)
{
	static const struct {
		const char *subject, *list;
		bool on;
	} cases[] = {
		{ "CN=q1,OU=moldau-quorum", "OU=moldau-quorum", true },
		{ "OU=moldau-quorum", "OU=moldau-quorum", true },
		{ "CN=q1,OU=moldau-quorum,O=Example", "OU=moldau-quorum", true },
		{ "CN=q1+OU=moldau-quorum,O=Example", "OU=moldau-quorum", true },
		{ "CN=b1,OU=moldau-system", "OU=moldau-quorum;OU=moldau-system", true },
		{ "CN=q2,O=Example", "CN=q1,O=Example;CN=q2,O=Example", true },
		{ "O=Example,CN=q2", "CN=q2,O=Example", true },
		{ "CN=a\\,b,O=Example", "CN=a\\,b", true },
		{ "CN=q2,O=Example", "CN=q2;", true },
		{ NULL, "OU=moldau-quorum", false },
		{ "", "OU=moldau-quorum", false },
		{ "CN=q1,OU=moldau-quorum2", "OU=moldau-quorum", false },
		{ "CN=q1,OU=moldau-quoru", "OU=moldau-quorum", false },
		{ "CN=q1,ou=moldau-quorum", "OU=moldau-quorum", false },
		/* a name that was chosen to look like two */
		{ "CN=q1\\,OU=moldau-quorum", "OU=moldau-quorum", false },
		{ "CN=q1\\+OU=moldau-quorum", "OU=moldau-quorum", false },
		{ "CN=OU=moldau-quorum", "OU=moldau-quorum", false },
		{ "CN=q1\\\\,OU=moldau-quorum", "OU=moldau-quorum", true },
		{ "CN=q2,O=Other", "CN=q1,O=Example;CN=q2,O=Example", false },
		{ "CN=q1", "", false },
		{ "CN=q1", ";", false },
		{ "CN=q1", ",", false },
		{ "CN=q1", ";;CN=q1", true },
		{ "CN=q1\\", "CN=q1", false },
	};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		cr_assert_eq(subject_on_list(cases[i].subject, cases[i].list), cases[i].on, "%s on %s",
			     cases[i].subject ? cases[i].subject : "-", cases[i].list);
}
