"""Reading the page back: whether it is well formed, what it loads, its text."""

from html.parser import HTMLParser

VOID = {"meta", "br", "img", "hr", "link", "input"}


class Page(HTMLParser):
    """A page that was parsed: every tag must be closed in its turn.

    Attributes:
        problems: What is wrong with its tags.
        loads: Everything that it would fetch.
        links: Targets of its links.
        ids: Places that links may lead to.
        tags: How often each tag occurs.
        pictures: Sources and descriptions of its pictures.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.tags: dict[str, int] = {}
        self.pictures: list[tuple[str, str]] = []
        self._open: list[str] = []
        self._text: list[str] = []
        self.feed(html)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self._open]

    @property
    def text(self) -> str:
        """What a reader sees, blanks collapsed."""
        return " ".join(" ".join(self._text).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        known = {key: value or "" for key, value in attrs}
        if len(known) != len(attrs):
            self.problems.append(f"<{tag}> has an attribute twice")
        self.problems += [f"<{tag}> has {key}" for key in known if key.startswith("on")]
        if "id" in known:
            self.ids.append(known["id"])
        if tag == "a":
            self.links.append(known.get("href", ""))
        elif "href" in known:
            self.loads.append(known["href"])
        if tag == "img":
            self.pictures.append((known.get("src", ""), known.get("alt", "")))
        elif "src" in known:
            self.loads.append(known["src"])
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1] != tag:
            self.problems.append(f"</{tag}> closes {self._open[-1:]}, line {self.getpos()[0]}")
            return
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("style", "script"):
            self._text.append(data)
