"""What a page says, read from its HTML alone: sections, figures, tables."""
import html.parser


class PageReader(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        with open(path, encoding="utf-8") as file:
            self.source = file.read()
        self.tables = {}    # by the title of the figure, or the caption or section of the table
        self.labels = {}    # by the title of the figure: texts of the axes' labels
        self.titles, self.ids, self.links, self.tags = [], [], [], set()
        self.place = self.rows = self.cell = self.in_text = None
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.add(tag)
        self.links += [(tag, key, value) for key, value in attributes.items()
                       if key in ("src", "href", "srcset", "data", "action", "poster", "style")]
        if "id" in attributes:
            self.ids.append(attributes["id"])
        self.in_text = None
        if tag == "section":
            self.place = attributes["id"]
        if tag in ("figcaption", "caption"):
            self.in_text, self.place = tag, ""
        if tag == "table":
            self.rows = []
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.in_text = "cell"
        if tag == "text" and "label" in attributes.get("class", ""):
            self.in_text = "label"
            self.labels.setdefault(self.place, []).append("")

    def handle_endtag(self, tag):
        if tag == "figcaption":
            self.titles.append(self.place)
        if tag == "table":
            self.tables.setdefault(self.place, []).append(self.rows)
        self.in_text = None

    def handle_data(self, data):
        if self.in_text in ("figcaption", "caption"):
            self.place += data
        elif self.in_text == "cell":
            self.rows[-1][-1] += data.strip("\n")
        elif self.in_text == "label":
            self.labels[self.place][-1] += data

    def figure(self, title):
        """Head and rows of a figure's values."""
        rows = self.tables[title][0]
        return rows[0], rows[1:]
