"""A person without a token → **token_page**: a page that asks for it, in the browser's language.

It stands alone: without a token nothing else of the page is handed out.
"""

import html
import re
from string import Template

# Title, what to do, the field's label, the button, and what is said of a wrong token.
_TEXTS = {
    "en": (
        "This server needs a token",
        "It is in the address that streamer printed when it started, behind ?token=",
        "Token",
        "Open",
        "This token is not known here.",
    ),
    "es": (
        "Este servidor requiere un token",
        "Está en la dirección que streamer mostró al iniciarse, detrás de ?token=",
        "Token",
        "Abrir",
        "Aquí no se conoce este token.",
    ),
    "de": (
        "Dieser Server verlangt ein Token",
        "Es steht in der Adresse, die streamer beim Start angezeigt hat, hinter ?token=",
        "Token",
        "Öffnen",
        "Dieses Token ist hier nicht bekannt.",
    ),
    "fr": (
        "Ce serveur demande un jeton",
        "Il est dans l’adresse que streamer a affichée au démarrage, derrière ?token=",
        "Jeton",
        "Ouvrir",
        "Ce jeton n’est pas connu ici.",
    ),
    "pt": (
        "Este servidor exige um token",
        "Ele está no endereço que o streamer mostrou ao iniciar, depois de ?token=",
        "Token",
        "Abrir",
        "Este token não é conhecido aqui.",
    ),
    "ja": (
        "このサーバーにはトークンが必要です",
        "streamer の起動時に表示されたアドレスの ?token= の後ろにあります。",
        "トークン",
        "開く",
        "このトークンは登録されていません。",
    ),
    "zh": (
        "此服务器需要令牌",
        "它在 streamer 启动时显示的地址中，位于 ?token= 之后。",
        "令牌",
        "打开",
        "此令牌无效。",
    ),
}

_PAGE = Template("""<!doctype html><html lang="$lang"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>streamer</title>
<style>
:root { color-scheme: light dark; font: 17px/1.5 system-ui, sans-serif }
body { display: grid; place-items: center; min-height: 100vh; margin: 0;
  background: light-dark(#efeae2, #0c0b10); color: light-dark(#1d1a22, #f6f2ec) }
main { box-sizing: border-box; width: min(30rem, 92vw); padding: 2rem; border-radius: 18px;
  background: light-dark(#fffcf7, #17151d) }
h1 { margin: 0; font-size: 1.6rem; line-height: 1.15 }
label { display: block; font-weight: 600 }
input, button { box-sizing: border-box; width: 100%; min-height: 44px; padding: 0 12px;
  margin-top: 6px; font: inherit; border: 1px solid #8886; border-radius: 10px }
button { border: 0; color: #1c0d06; font-weight: 700; cursor: pointer;
  background: linear-gradient(100deg, #ff8a55, #ffc857) }
</style>
<main><h1>$title</h1>$wrong<p>$help</p><form method="get">$kept<label>$label
<input type="password" name="token" autocomplete="current-password" autofocus required></label>
<button>$button</button></form></main></html>
""")


def token_page(accept_language: str, kept: list[tuple[str, str]], *, wrong: bool) -> str:
    """HTML with a form for the token; `kept` are the other parameters of the URL."""
    lang = _language(accept_language)
    title, help_, label, button, unknown = _TEXTS[lang]
    fields = "".join(
        f'<input type="hidden" name="{html.escape(key)}" value="{html.escape(value)}">'
        for key, value in kept
    )
    said = f'<p role="alert">{unknown}</p>' if wrong else ""
    return _PAGE.substitute(
        lang=lang, title=title, help=help_, label=label, button=button, kept=fields, wrong=said
    )


def _language(accept_language: str) -> str:
    """The first one that the browser names and the page speaks."""
    named = re.findall(r"(?:^|,)\s*([a-zA-Z]{2})", accept_language)
    return next((code.lower() for code in named if code.lower() in _TEXTS), "en")
