"""Word lists that ToxiCR counts: profane words, anger words and stems, emoticons, programming keywords.

The lists here are our own. The official tool's lists (85 profane words, 185 anger stems, 90 keywords; GPL-3.0) are not in
this package; a user who has them reads them with `lexicons_from(folder)`, so that figures can be compared.
Harmful words are kept in ROT13, so that nobody meets them by leafing through the source.
"""

import codecs
import hashlib
import keyword
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from antivenom.errors import AntivenomError

__all__ = ["EMOTICON", "Lexicons", "decipher", "default_lexicons", "emoticons", "lexicons_from"]

PROFANE = """
nefr nefrubyr nff nffubyr nffung nffjvcr onfgneq ovgpu ovgpul ovngpu oybbql obyybpxf ohttre ohyyfuvg ohyypenc
ohggubyr pyhfgreshpx pbpx pbpxfhpxre penc penccl phag phff qnza qnzarq qnzzvg qnzavg qnea qnearq qvpx qvpxurnq
qvcfuvg qbhpur qbhpuront qhzonff qhzoshpx qlxr rssvat snt snttbg sneg shpx shpxre shpxrel shpxhc shtyl tbqqnza
tbqqnzavg tbqqnzzvg uryy ubefrfuvg vqvbg vqvbgvp wnpxnff wrex wrexbss wrexf zbeba zbebavp zbgureshpxre zbgunshpxn
avttn avttre cvff cvffrq cbea cevpx chffl chxr encr encvfg ergneq ergneqrq ehoovfu fperj fperjrq fperjvat
fperjl fuvg fuvgurnq fuvgubyr fuvggl fuvgfubj fyhg fghcvq fghcvqvgl fghcvqyl fhpx fhpxre fhpxl fhpxf gvgf gheq
gjng jnax jnaxre juber lhpx lhpxl vzorpvyr shpxjvg ahzoahgf sernxvat sevttvat sevpxvat pencsrfg nahf cravf
intvan qvyqb
"""
"""Words; an inflected form counts as its word (`profane_form`)."""

ANGER = """
nohf* nttening* ntterff* natre* nate* naabl* nagntbav* nccnyy* netu* neth* neebtna* nfvavar nffnhyg* nffubyr*
nggnpx* njshy onfu onfgneq* ovgpu* ovggre* oynz* oybbql obgure* oehgny* ohyy* ohyyl* pneryrff* purng* pbjneq*
penc penccl penml pevgvpv* pehry* pehfu* phef* plavp* qnza* qnatre* qrprvg* qrprvi* qrsnz* qrzrna* qrfcvf*
qrfgebl* qrfgehpg* qvftenp* qvfthfg* qvfyvx* qvfcyrnf* qvferfcrpg* qvfgehfg* qbzvan* qhzo* rarz* raent* raivr*
raivbhf rivy* rknfcreng* snhyg* srebp* srhq* svraq* svrep* svtug* sbr* sbhtug sbby* sehfgeng* shpx* shz*
shevbhf* shel tebhpu* tehqt* tebff* tehzc* unenff* unefu* ungr ungrq ungrshy ungre ungrf ungvat ungerq uryy
uvqrbhf* ubeevoyr ubeevoyl ubfgvy* uhzvyvng* vqvbg* vtabena* vapbzcrgra* vaqvta* vashevng* vafna* vafbyra*
vafhyg* vagreehc* vagvzvqng* vengr vex* veengvbany* veevgng* wrnybhf* wrex* xvyy* ynml yvne* yvrq yvivq ybngu*
ybhf* yhqvpebhf* yhangvp* znq znqqra* znqarff znyvp* zranp* zrff zrffl zbpx* zbyrfg* zbeba* zheqre* ant
anttvat anfg* arei* abafraf* boabkvbhf* bssraq* bssraf* bhgent* cngurgvp* crrir* crfgre* cvff* cbvfba* cerwhq*
cebibx* chxr* chavfu* enovq* entr* entvat enag* encr* encvat erory* erchyf* erfrag* eriratr* eribyg* evqvphy*
ebggra ehoovfu ehqr* ehguyrff* fnepnf* fnint* fpbyq* fpbea* fpernz* fperj* funzr* fuvg* fubqql fvpx* fvavfgre
fvyyl fync fyhg* fznfu* faney* farre* fbo fcvgr* fgvax* fghoobea* fghcvq* fhpx* gnhag* grzcre* greevoy*
guerng* gbeghe* genfu* gernpure* htyl htu* hcfrg* iratrshy* irk* ivpvbhf* ivy* ivyynva* ivbyng* ivbyra*
ivgevby* juvar* juvavat jvpxrq* jbefg jengu* jergpu* jgs lryy* lhpx*
"""
"""Words, and stems (with a star): a stem counts every word that begins with it."""

ENDINGS = [
    "s",
    "es",
    "ed",
    "er",
    "ers",
    "ing",
    "in",
    "y",
    "ier",
    "iest",
    "est",
    "ty",
    "ting",
    "ted",
    "ter",
    "ters",
    "ish",
    "ness",
    "ly",
]
NO_ENDINGS = [
    "nff",
    "nefr",
    "phz",
    "fperj",
    "fperjl",
    "uryy",
    "encr",
    "sneg",
    "gvgf",
    "dhrre",
    "sntrg",
    "ubzb",
    "qlxr",
    "chxr",
    "wrex",
]  # "assist", "helly"

C_FAMILY = """auto break case char const continue default do double else enum extern float for goto if inline int long
register return short signed sizeof static struct switch typedef union unsigned void volatile while asm bool catch class
const_cast delete dynamic_cast explicit export false friend mutable namespace new operator private protected public
reinterpret_cast static_cast template this throw true try typeid typename using virtual wchar_t nullptr constexpr noexcept"""
JAVA = """abstract assert boolean byte extends final finally implements import instanceof interface native package super
synchronized throws transient strictfp enum override"""
SCRIPTS = """function var let typeof debugger yield await async delete in of with echo print foreach elseif endif endfor
endwhile endforeach endswitch include include_once require require_once isset unset clone global xor readonly get set
delegate event"""
PREPROCESSOR = "define ifdef ifndef elif undef pragma endif mk"
NOT_KEYWORDS = {"not", "None", "True", "False", "is", "as", "pass", "of"}  # carry meaning in prose; "pass", "is" too

FACES = {
    ":)",
    ":-)",
    ":(",
    ":-(",
    ";)",
    ";-)",
    ":D",
    ":-D",
    ":P",
    ":-P",
    ":p",
    ":-p",
    ":/",
    ":-/",
    ":|",
    ":-|",
    ":'(",
    "XD",
    "<3",
    ":O",
    "=)",
}
"""What strict mode looks for - in the processed text, where no symbol is left."""
EMOTICON = re.compile(
    r"(?<![\w:;=<(\[{'\"/\\.])(?:[:;=]['’]?-?(?:[)(DPpOo|]|\]+|/(?![\w/])|[sS](?!\w))\)*|[xX]D+|<3|</3|\^_\^|o_O|O_o|-_-)(?![\w:=/(])"
    r"|[\U0001F600-\U0001F64F\U0001F910-\U0001F92F\U0001F970-\U0001F97A\u2639\u263A]"
)


def decipher(text: str) -> str:
    """ROT13, there and back.

    >>> decipher("uryyb")
    'hello'
    """
    return codecs.decode(text, "rot13")


@dataclass(frozen=True)
class Lexicons:
    """The three lists in use.

    Args:
        profane: form -> the word it counts as.
        anger_words: counted as whole words.
        anger_stems: counted by prefix in fixed mode; whole words in strict mode, as in the official tool.
        keywords: of programming languages, lower case.
        source: "antivenom", or the folder they were read from.
    """

    profane: dict[str, str]
    anger_words: frozenset[str]
    anger_stems: frozenset[str]
    keywords: frozenset[str]
    source: str = "antivenom"

    @property
    def hash(self) -> str:
        """Of everything listed, 32 hex digits: part of a model's identity."""
        parts = (
            sorted(self.profane.items()),
            sorted(self.anger_words),
            sorted(self.anger_stems),
            sorted(self.keywords),
        )
        return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()

    def anger_of(self, word: str) -> str | None:
        """The anger word or stem that a word counts as, by prefix; None where it is none."""
        if word in self.anger_words:
            return word
        for size in range(3, len(word) + 1):
            if word[:size] in self.anger_stems:
                return word[:size]
        return None


def emoticons(text: str) -> list[tuple[int, int]]:
    """Spans of emoticons and face emojis in RAW text; a colon inside code or a URL is none.

    >>> len(emoticons("nice :)")), len(emoticons("std::vector, http://x, a[1:], {x:D}"))
    (1, 0)
    """
    return [match.span() for match in EMOTICON.finditer(text)]


@cache
def default_lexicons() -> Lexicons:
    """Our own lists."""
    words, bare = decipher(PROFANE).split(), set(decipher(" ".join(NO_ENDINGS)).split())
    profane: dict[str, str] = {}
    for word in words:
        profane.setdefault(word, word)
        if word not in bare:
            stem = word[:-1] if word.endswith("e") else word
            doubled = word + word[-1]
            for ending in ENDINGS:
                profane.setdefault((stem if ending[0] in "eiy" else word) + ending, word)
                if ending[0] in "eiy" and len(word) < 6:
                    profane.setdefault(doubled + ending, word)
    anger = decipher(ANGER).split()
    return Lexicons(
        profane,
        frozenset(word for word in anger if not word.endswith("*")),
        frozenset(word[:-1] for word in anger if word.endswith("*")),
        frozenset(
            word
            for word in " ".join([C_FAMILY, JAVA, SCRIPTS, PREPROCESSOR, *keyword.kwlist]).split()
            if word not in NOT_KEYWORDS
        ),
    )


def lexicons_from(folder: Path | str) -> Lexicons:
    """Lists a user has: `profane_words.txt`, `anger_words.txt`, `programming_keywords.txt`, one entry a line.

    A file that is absent is replaced by our own list. Profane words are taken as they stand, without endings; anger entries
    are taken as stems (with or without the star).

    Raises:
        AntivenomError: when the folder holds none of the three.
    """
    folder, ours = Path(folder), default_lexicons()
    found = {
        name: _lines(folder / f"{name}.txt")
        for name in ("profane_words", "anger_words", "programming_keywords")
        if (folder / f"{name}.txt").is_file()
    }
    if not found:
        raise AntivenomError(
            f"{folder} holds no word list",
            "it should hold profane_words.txt, anger_words.txt or programming_keywords.txt",
        )
    anger = found.get("anger_words")
    return Lexicons(
        {word: word for word in found["profane_words"]} if "profane_words" in found else ours.profane,
        ours.anger_words if anger is None else frozenset(),
        ours.anger_stems if anger is None else frozenset(word.rstrip("*") for word in anger),
        frozenset(found.get("programming_keywords", ours.keywords)),
        str(folder),
    )


def _lines(path: Path) -> Iterable[str]:
    return [line.strip().lower() for line in path.read_text("utf-8").splitlines() if line.strip()]
