"""Which accompaniment grooves the corpus uses, and what they are called.

One row for each style file of MMA's ``stdlib``: family and coarse group (the vocabulary of captions and of the style
judge), tempo in felt beats, how many MMA beats make a felt beat (cut-time styles are notated at twice their pulse),
and the split the whole file is held out for. Read by :mod:`jackdaw.engine.training.corpus`; nothing writes here.

Files whose own notes say they were adapted from a keyboard maker's styles (broadway, dsoul, evansish, jazzcombo,
mellowjazz and what was built on them: broadwaywaltz, bwmarch, slowbroadway) are left out, and so are metronomes.
"""

from __future__ import annotations

from dataclasses import dataclass

from ._patterns import GROOVES, TEMPOS

__all__ = ["GROUPS", "STYLES", "Group", "Style"]


@dataclass(frozen=True)
class Style:
    """One style file: its names, its felt tempo and metre, and its split.

    Attributes
    ----------
    file : str
        File name in ``stdlib`` without ``.mma``.
    family : str
        Short English style name, such as "bossa nova".
    group : str
        Key of :data:`GROUPS`.
    bpm : float
        Centre of the tempo range, felt beats per minute; songs stay within 15 % of it.
    bpb : int
        Felt beats in a bar.
    unit : float
        MMA beats (quarter notes) in one felt beat.
    held : str
        "" for a style of the training split, else "valid" or "test".
    patterns : tuple of str
        Grooves of :mod:`._patterns` that play it; empty if MMA does.
    """

    file: str
    family: str
    group: str
    bpm: float
    bpb: int = 4
    unit: float = 1.0
    held: str = ""
    patterns: tuple[str, ...] = ()

    @property
    def bar(self) -> float:
        """MMA beats (quarter notes) in one bar."""
        return self.bpb * self.unit


@dataclass(frozen=True)
class Group:
    """A coarse style: pools of progressions, words for its mood, other names.

    Attributes
    ----------
    pools : tuple of str
        Progression pools of :mod:`._progressions` its songs draw from.
    moods : tuple of str
        Adjectives for captions.
    names : tuple of str
        Other names of the coarse style for captions.
    """

    pools: tuple[str, ...]
    moods: tuple[str, ...]
    names: tuple[str, ...]


GROUPS: dict[str, Group] = {
    "brazilian": Group(("jazz",), ("relaxed", "warm", "sunny", "gentle"), ("brazilian music", "brazilian jazz")),
    "latin": Group(("latin", "jazz"), ("hot", "lively", "rhythmic", "festive"), ("latin music", "cuban dance music")),
    "tango": Group(("tango",), ("dramatic", "passionate", "sharp"), ("argentine dance", "ballroom tango")),
    "swing": Group(("jazz", "rag"), ("swinging", "happy", "easy-going"), ("swing jazz", "swing music")),
    "jazz": Group(("jazz",), ("cool", "smoky", "sophisticated", "late-night"), ("jazz", "small jazz combo")),
    "blues": Group(("blues",), ("bluesy", "gritty", "soulful"), ("blues", "twelve-bar blues")),
    "rock": Group(("pop", "blues"), ("driving", "energetic", "bright"), ("rock", "pop rock")),
    "funk": Group(("funk", "blues"), ("funky", "groovy", "danceable"), ("funk", "dance music")),
    "waltz": Group(("pop", "classic"), ("graceful", "turning", "elegant"), ("waltz", "dance in three")),
    "country": Group(("pop",), ("rustic", "friendly", "down-home"), ("country music", "country and folk")),
    "march": Group(("classic",), ("proud", "bouncy", "stately"), ("marching music", "parade music")),
    "ragtime": Group(("rag",), ("old-time", "cheerful", "jaunty"), ("early jazz", "dixieland and ragtime")),
    "ballad": Group(("pop", "sad"), ("tender", "sad", "romantic", "gentle"), ("ballad", "slow song")),
    "gospel": Group(("gospel",), ("solemn", "uplifting", "devout"), ("gospel", "church music")),
    "caribbean": Group(("pop",), ("sunny", "bouncy", "carefree"), ("caribbean music", "island music")),
    "orchestral": Group(("classic", "sad"), ("sweeping", "grand", "cinematic"), ("orchestral music", "film music")),
    "house": Group(("pop", "funk"), ("pumping", "warm", "hypnotic"), ("house", "electronic dance music")),
    "techno": Group(("sad", "funk"), ("dark", "driving", "mechanical"), ("techno", "club music")),
    "drum and bass": Group(("sad", "funk"), ("frantic", "rolling", "dark"), ("drum and bass", "jungle")),
    "hip hop": Group(("funk", "jazz", "sad"), ("laid-back", "dusty", "heavy"), ("hip hop", "boom bap")),
    "reggae": Group(("pop",), ("sunny", "relaxed", "heavy"), ("reggae", "jamaican music")),
    "ambient": Group(("sad", "pop"), ("calm", "floating", "dreamy"), ("ambient", "soundscape")),
    "metal": Group(("sad", "classic"), ("aggressive", "heavy", "dark"), ("metal", "heavy rock")),
}

_ROWS: tuple[tuple[str, str, str, float, int, float, str], ...] = (
    ("bossanova", "bossa nova", "brazilian", 130, 4, 1, ""),
    ("samba", "samba", "brazilian", 100, 2, 2, ""),
    ("salsa", "salsa", "latin", 175, 4, 1, ""),
    ("son", "son montuno", "latin", 150, 4, 1, ""),
    ("mambo", "mambo", "latin", 175, 4, 1, "test"),
    ("merengue", "merengue", "latin", 125, 2, 2, ""),
    ("chacha", "cha-cha", "latin", 120, 4, 1, ""),
    ("rhumba", "rhumba", "latin", 112, 4, 1, ""),
    ("jazzrhumba", "rhumba", "latin", 125, 4, 1, "valid"),
    ("beguine", "beguine", "latin", 112, 4, 1, ""),
    ("afro-cuban", "afro-cuban", "latin", 110, 2, 1.5, ""),
    ("lfusion", "latin fusion", "latin", 130, 4, 1, ""),
    ("cubanguitar", "cuban guitar", "latin", 95, 4, 1, ""),
    ("slowbolero", "slow bolero", "latin", 88, 4, 1, ""),
    ("tango", "tango", "tango", 120, 4, 1, ""),
    ("lighttango", "tango", "tango", 116, 4, 1, ""),
    ("swing", "swing", "swing", 150, 4, 1, ""),
    ("easyswing", "easy swing", "swing", 132, 4, 1, ""),
    ("bigband", "big band swing", "swing", 148, 4, 1, "test"),
    ("fastswing", "fast swing", "swing", 112, 2, 2, ""),
    ("gypsyjazz", "gypsy jazz", "swing", 180, 4, 1, ""),
    ("68swing", "six-eight swing", "swing", 108, 2, 3, ""),
    ("foxtrot", "foxtrot", "swing", 136, 4, 1, ""),
    ("quickstep", "quickstep", "swing", 100, 2, 2, ""),
    ("descendingjazz", "descending jazz", "swing", 128, 4, 1, ""),
    ("softshoe", "soft shoe", "swing", 116, 4, 1, "valid"),
    ("bebop", "bebop", "jazz", 140, 4, 1, ""),
    ("jazzguitar", "jazz guitar", "jazz", 92, 4, 1, ""),
    ("modernjazz", "modern jazz", "jazz", 132, 4, 1, ""),
    ("slowjazz", "slow jazz", "jazz", 84, 4, 1, ""),
    ("nitejazz", "night-club jazz", "jazz", 84, 4, 1, "test"),
    ("folkyjazz", "folk jazz", "jazz", 112, 4, 1, "valid"),
    ("jazz-54", "five-four jazz", "jazz", 168, 5, 1, ""),
    ("jazzrock", "jazz rock", "jazz", 134, 4, 1, ""),
    ("blues", "blues", "blues", 112, 4, 1, ""),
    ("slowblues", "slow blues", "blues", 76, 4, 1, ""),
    ("fastblues", "fast blues", "blues", 150, 4, 1, "test"),
    ("blues128", "twelve-eight blues", "blues", 88, 4, 1, ""),
    ("blues68", "six-eight blues", "blues", 60, 2, 3, "valid"),
    ("boggiewoggie", "boogie-woogie", "blues", 152, 4, 1, ""),
    ("shuffleboggie", "shuffle boogie", "blues", 130, 4, 1, ""),
    ("countryblues", "country blues", "blues", 96, 4, 1, ""),
    ("50srock", "fifties rock", "rock", 136, 4, 1, ""),
    ("60srock", "sixties rock", "rock", 128, 4, 1, "test"),
    ("8beat", "eight-beat rock", "rock", 124, 4, 1, ""),
    ("basicrock", "basic rock", "rock", 124, 4, 1, ""),
    ("bubblerock", "bubblegum rock", "rock", 122, 4, 1, "valid"),
    ("softrock", "soft rock", "rock", 118, 4, 1, ""),
    ("rock-128", "doo-wop rock", "rock", 80, 4, 1, ""),
    ("twist", "twist", "rock", 156, 4, 1, ""),
    ("jive", "rock and roll", "rock", 164, 4, 1, ""),
    ("folkrock", "folk rock", "rock", 112, 4, 1, ""),
    ("bvfunk", "funk", "funk", 116, 4, 1, ""),
    ("strut", "strut", "funk", 124, 4, 1, "test"),
    ("rb", "rhythm and blues", "funk", 120, 4, 1, "valid"),
    ("boneym", "disco", "funk", 116, 4, 1, ""),
    ("trance", "trance", "funk", 134, 4, 1, ""),
    ("waltz", "waltz", "waltz", 124, 3, 1, ""),
    ("fastwaltz", "fast waltz", "waltz", 172, 3, 1, ""),
    ("vienesewaltz", "viennese waltz", "waltz", 164, 3, 1, ""),
    ("frenchwaltz", "french accordion waltz", "waltz", 156, 3, 1, ""),
    ("jazzwaltz", "jazz waltz", "waltz", 140, 3, 1, ""),
    ("fastjazzwaltz", "fast jazz waltz", "waltz", 172, 3, 1, ""),
    ("modernjazzwaltz", "modern jazz waltz", "waltz", 138, 3, 1, ""),
    ("countrywaltz", "country waltz", "waltz", 112, 3, 1, "test"),
    ("rockwaltz", "rock waltz", "waltz", 116, 3, 1, ""),
    ("latinwaltz", "latin waltz", "waltz", 128, 3, 1, "valid"),
    ("arpeggiowaltz", "arpeggio waltz", "waltz", 100, 3, 1, ""),
    ("countryswing", "country swing", "country", 124, 4, 1, ""),
    ("westernswing", "western swing", "country", 128, 4, 1, "test"),
    ("slowcountry", "slow country", "country", 82, 4, 1, ""),
    ("hillcountry", "hillbilly country", "country", 124, 4, 1, ""),
    ("bluegrass", "bluegrass", "country", 132, 4, 1, ""),
    ("zydeco", "zydeco", "country", 136, 4, 1, ""),
    ("folk", "folk", "country", 108, 4, 1, ""),
    ("bluefolk", "blue folk", "country", 108, 4, 1, "valid"),
    ("folkballad", "folk ballad", "country", 84, 4, 1, ""),
    ("march", "march", "march", 112, 2, 2, ""),
    ("68march", "six-eight march", "march", 112, 2, 1, ""),
    ("polka", "polka", "march", 116, 2, 2, ""),
    ("ragtime", "ragtime", "ragtime", 92, 2, 2, ""),
    ("dixie", "dixieland", "ragtime", 100, 2, 2, ""),
    ("dixiemarch", "dixieland march", "ragtime", 92, 2, 2, ""),
    ("charleston", "charleston", "ragtime", 112, 2, 2, "test"),
    ("ballad", "ballad", "ballad", 76, 4, 1, ""),
    ("ballad128", "twelve-eight ballad", "ballad", 68, 4, 1, ""),
    ("ballad68", "six-eight ballad", "ballad", 56, 2, 2, ""),
    ("guitarballad", "guitar ballad", "ballad", 84, 4, 1, "test"),
    ("pianoballad", "piano ballad", "ballad", 78, 4, 1, ""),
    ("popballad", "pop ballad", "ballad", 76, 4, 1, "valid"),
    ("rockballad", "rock ballad", "ballad", 80, 4, 1, ""),
    ("rb-ballad", "soul ballad", "ballad", 84, 4, 1, ""),
    ("lullaby", "lullaby", "ballad", 76, 4, 1, ""),
    ("arpeggio44", "arpeggios", "ballad", 88, 4, 1, ""),
    ("hymn", "hymn", "gospel", 84, 4, 1, ""),
    ("spiritual", "spiritual", "gospel", 124, 4, 1, ""),
    ("popspiritual", "pop gospel", "gospel", 80, 4, 1, ""),
    ("slowspiritual", "slow gospel", "gospel", 72, 4, 1, "test"),
    ("ska", "ska", "caribbean", 112, 2, 2, ""),
    ("calypso", "calypso", "caribbean", 124, 4, 1, ""),
    ("stringballad", "string ballad", "orchestral", 72, 4, 1, ""),
    ("showtune", "show tune", "orchestral", 108, 4, 1, ""),
    ("bolero", "orchestral bolero", "orchestral", 96, 4, 1, ""),
)


def _patterned() -> list[Style]:
    """Rows of the styles that this package writes itself: of each the last groove is held out."""
    rows = []
    for number, (name, grooves) in enumerate(GROOVES.items()):
        low, high = TEMPOS[name]
        group, bpm = name if name in GROUPS else "funk", (low + high) / 2
        rows.append(Style(name.replace(" ", "-"), name, group, bpm, patterns=grooves[:-1]))
        held = ("valid", "test")[number % 2]
        rows.append(Style(f"{name.replace(' ', '-')}-2", name, group, bpm, held=held, patterns=grooves[-1:]))
    return rows


STYLES: tuple[Style, ...] = (*(Style(*row) for row in _ROWS), *_patterned())
