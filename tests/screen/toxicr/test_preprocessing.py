"""Preprocessing: every step in both modes, code left alone, obfuscation found (spec 11, section 5)."""

import pytest

from antivenom.errors import AntivenomError
from antivenom.screen.toxicr.lexicons import decipher
from antivenom.screen.toxicr.patterns import IDENTITY, find, targets
from antivenom.screen.toxicr.preprocessing import Preprocessing

OBFUSCATED = """
shpx: s*px, s h p x, sphx, shhhpx, s**x, shk, srpx, s.h.p.x, s-h-p-x, sipx, s***, s*pxvat, s@px, shx, cuhpx, s**xvat, s#px, s-vat, s_h_p_x, spxvat
penc: pe@c, p e n c, pe4c, xenc, pennc, p.e.n.c
nff: n$$, @$$, nmm, @ff
nubyr: n-ubyr, n$$ubyr, @ffubyr, nffu0yr
ovgpu: o!gpu, ov+pu, ovngpu, o1gpu, o*gpu, o v g p u, o**pu
onfgneq: o@fgneq, onfg@eq, o n f g n e q
pbpx: p0px, p*px, p b p x
qvpx: q1px, q!px, q v p x
fhpx: 5hpx, $hpx, fhhhpx, f*pxf, f h p x
phag: p*ag, pha+, p h a g
ohyyfuvg: ohyyfu*g, ohyy$uvg, ohyyfu1g, ohyy fuvg
wrex: w3ex, wreeex, w r e x
vqvbg: v q v b g, vqvvvbg, vq1bg, 1q10g, vqv0g
qhzo: qhzooo, q h z o, q*zo
fuvg: $uvg, fu*g, f u v g, fu1g, fuvvvg, f**g, fu!g, f.u.v.g, 5uvg, fu!+, fu-g
fuvgubyr: fu*gubyr, fu1gubyr, $uvgubyr
ergneq: erg@eq, e3gneq, e r g n e q
encr: e@cr, enc3, e n c r
qhzonff: qhzon$$, qhzo@ff, qhzo-nff, qhzonmm
frk: f3k, $rk, f*k
nahf: @ahf, nah$, n a h f
fyhe-enpr: a1ttre, a*ttre, a v t t r e, avtt@
fyhe-tnl: s@ttbg, sntt0g, s*ttbg
fgsh: fgsh, f.g.s.h., FGSH
slsv: slsv, SLSV
tgsb: tgsb, t.g.s.b
bzst: bzst, BZST
jgu: jgu, j.g.u.
jgs: jgs, J.G.S., JGS
fbo: f.b.o., fbabsnovgpu
zbsb: zbsb, z0sb, zs're, zbgure s*pxre
juber: ju0er, j u b e r, jube3
chffl: ch$$l, c*ffl, chff1
"""
BENIGN = """hash_items|push_it(x)|flush_iter()|char *buf* p|list of* x|WTF::Vector|platform/wtf/|self.clients, self.__class__
addif'!!??|C++, why|C++? yes|Signed-off-by SOB|homogeneous|homography|shenanigans|scunthorpe|shitake|jerky|git fu|class assess
assert(x)|pass the bypass|#include <wtf/HashMap.h>|using namespace WTF;|WTF-8|y = f**k|f**2|SH17 chip|0xa55|455|a55aa55a
omap fck|cockpit|peacock|dictionary|Essex|sextant|grape|scrape|therapist|analyst|cumulative|Hancock|Dickens|retardation
sh -c it|s = h; i = t|Scrap|flush item|publish_item|finish_it|wash it|mf.close()|mfc_ctx|as s|ASSERT_EQ|compass|grass
embarrass|cassette|Sussex|bi + ch|snigger|niggle|raccoon|rapeseed|fsck /dev|shift|sheet|WTF_MAKE_FAST|there is a hole here"""
CASES = [
    (t, f.strip())
    for t, _, fs in (x.partition(": ") for x in decipher(OBFUSCATED).strip().splitlines())
    for f in fs.split(",")
]


def test_benign_code_has_no_hits():
    strings = BENIGN.replace("\n", "|").split("|")
    assert len(strings) >= 60
    process = Preprocessing()
    assert [s for s in strings if find(s)] == []
    assert [s for s in strings if process([s])[1][0, 0]] == []


def test_obfuscated_profanity_is_found():
    assert len(CASES) >= 60
    hits = sum(any(x.target == t for x in find(f"you {form} again")) for t, form in CASES)
    assert hits / len(CASES) >= 0.95


def test_every_target_has_two_positives():
    found: dict[str, set] = {}
    for target, form in CASES:
        if any(x.target == target for x in find(f"this is {form}")):
            found.setdefault(target, set()).add(form)
    assert {t for t in targets() if t not in IDENTITY and len(found.get(t, ())) < 2} == set()


@pytest.mark.parametrize(
    "text", ["hash_items", "buf* p", "C++?", "self.__class__", "homography", "shenanigans", "push_it"]
)
def test_strict_mode_creates_profanity_out_of_code(text):
    assert Preprocessing(mode="strict_paper").trace(text).steps[2].fired


def test_identifiers():
    assert Preprocessing(split_identifier=True).text("parseHTTPResponse my_var") == "parse http response my var"
    text = "parseHTTPResponse my_var"
    strict = Preprocessing(mode="strict_paper")
    assert strict.text(text) == Preprocessing(mode="strict_paper", split_identifier=True).text(text)


@pytest.mark.parametrize(("mode", "count"), [("fixed", 1), ("strict_paper", 0)])
def test_emoticons_and_anger_stems(mode, count):
    process = Preprocessing(mode=mode, count_emoticon=True, count_anger=True)
    assert process(["nice :)"])[1].tolist() == [[0, 0, count]]
    assert process(["how aggravating"])[1].tolist() == [[0, count, 0]]


def test_counts_distinct_and_total():
    word = decipher("penc")
    assert Preprocessing()([f"{word} {word}"])[1][0, 0] == 1
    assert Preprocessing(count="total")([f"{word} {word}"])[1][0, 0] == 2
    assert Preprocessing(count_profanity=False)([word])[1].tolist() == [[0, 0, 0]]


def test_identity_terms_are_off_by_default():
    assert not find("a gay and a transgender contributor")
    assert len(find("a gay and a transgender contributor", identity=True)) == 2
    assert Preprocessing()(["a gay contributor"])[1][0, 0] == 0


def test_contractions():
    assert Preprocessing().text("Don't, its fine") == "do not its fine"
    assert Preprocessing(mode="strict_paper").text("Don't its").split() == ["don", "t", "it", "is"]


def test_urls():
    assert Preprocessing().text("see http://a.b/c#frag~x now") == "see now"
    assert "frag" in Preprocessing(mode="strict_paper").text("see http://a.b/c#frag~x now")


def test_input_is_not_changed_and_a_trace_ends_in_the_text():
    raw = ["Sooo bad :( parseThis"]
    process = Preprocessing(split_identifier=True, remove_keywords=True)
    assert process(raw)[0] == [process.trace(raw[0]).text]
    assert raw == ["Sooo bad :( parseThis"]


def test_unknown_mode():
    with pytest.raises(AntivenomError, match="mode"):
        Preprocessing(mode="loose")
