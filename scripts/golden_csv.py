"""Makes the golden CSV test: a hard table, and what Python's csv module reads from it.

Usage: python3 scripts/golden_csv.py [FOLDER]

Writes hard.csv and hard.json into FOLDER (Tests/DPDataTests/Fixtures unless given). The JSON has
"python" (the version that read the table), "header" and "records". Blank lines, for which the csv
module gives empty records, are left out.
"""
import csv
import json
import pathlib
import platform
import sys

KINDS = ["plain", "a,b", 'say "hi"', "two\nlines", "two\r\nlines", "na\u00efve \u65e5\u672c \U0001f600", "a\"b\"c", "abc", "\ttab"]

ROWS = [
    # name, amount, kind, flag, out: each as it stands in the file, with its line end
    'ann,1,plain,0,0\n',
    '"bob, the second",2.5,"a,b",1,1\r\n',
    'c"i"d,-3e2,"say ""hi""",0,1\r',
    '  dan,   4 , plain, 1, 0\n',
    '"eve", "5", "two\nlines", "0", "1"\n',
    '"fay"\t,.5,"two\r\nlines",1,0\r\n',
    '\n',
    '\r\n\r\r\n',
    '"g"h"i",1e-3, na\u00efve \u65e5\u672c \U0001f600 ,0,1\n',
    '"","+7.",a"b"c,1,0\n',
    '"line 1\rline 2\r\n\r\nline 3",99.999999999999999,"ab"c,0,1\n',
    '"""quoted""",123456789012345678901234567890,plain,1,0\n',
    '\tkim\t,8,\ttab\t,0,1\n',
    "l\u2028m\u0085n,0.1,plain,1,0\n",  # line ends to Unicode, not to CSV
    'n\x0bo\x0cp,1E2,plain,1,1\n',
    'last,-0,"plain",1,0',  # no line end
]


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "Tests/DPDataTests/Fixtures")
    text = '"na,me" , amount,  "kind"," flag", out\r\n' + "".join(ROWS)
    (folder / "hard.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    with open(folder / "hard.csv", newline="", encoding="utf-8-sig") as file:
        records = [row for row in csv.reader(file, skipinitialspace=True) if row]
    golden = {"python": platform.python_version(), "header": records[0], "records": records[1:]}
    (folder / "hard.json").write_text(json.dumps(golden, indent=1, ensure_ascii=True) + "\n")


if __name__ == "__main__":
    main()
