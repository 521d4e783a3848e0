import pytest

from date_normalizer import peer


@pytest.mark.parametrize(
    ("source", "iso"),
    [
        ("de: 3. Mai 2019", "2019-05-03"),
        ("en_US: 05/03/2019", "2019-05-03"),
        ("en_GB: 05/03/2019", "2019-03-05"),
        ("en_GB: 2019/05/03", "2019-05-03"),
        ("en_GB: Friday, 2019/05/03", "2019-05-03"),
        ("fr: 20190503", "2019-05-03"),
        ("el: 3/5/60", "1960-05-03"),
        ("en_US: 5/3/49", "2049-05-03"),
        ("ja: ２０１９年５月３日", "2019-05-03"),
        ("de: 3. Nebelung 2019", ""),
        ("de: Mai 2019", ""),
    ],
)
def test_dateparser_is_told_what_a_reader_knows(source, iso):
    assert peer.normalize(source) == iso


def test_exact_match_is_a_share():
    sources = ["de: 3. Mai 2019", "de: 3. Nebelung 2019"]
    assert peer.exact_match(sources, ["2019-05-03", "2019-11-03"]) == 0.5
