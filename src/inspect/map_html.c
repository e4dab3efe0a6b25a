/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The picture as one page of HTML that needs nothing else. Each part is an inline SVG. The script
 * is the same text for all checkpoints: nothing of theirs is in it, and what it shows it takes as
 * text from the page (textContent), so that no name can become code. Without the script the page
 * shows all the same; the texts of blocks then are what the browser does with <title>.
 */
#include "inspect/map_draw.h"
#include "inspect/map_text.h"

static const char style[] =
	"html{background:#fff;color-scheme:light dark}body{margin:0}"
	"svg{display:block}main>svg,section>svg{margin:0 auto;max-width:100%;height:auto}"
	"#bar{position:sticky;top:0;z-index:1;display:flex;gap:12px;align-items:center;"
	"max-width:1200px;margin:0 auto;padding:6px 20px;background:#fffffff0;"
	"font:12px system-ui,sans-serif;color:#62666b}"
	"#bar input{font:inherit;padding:3px 6px;width:240px}"
	"#tip{position:fixed;z-index:2;display:none;max-width:560px;white-space:pre-wrap;"
	"overflow-wrap:anywhere;pointer-events:none;padding:7px 10px;border-radius:5px;"
	"font:12px/1.45 system-ui,sans-serif;background:#1c1d1f;color:#f2f2ee;"
	"box-shadow:0 2px 10px #0006}"
	"#tip::first-line{font-family:ui-monospace,monospace}"
	".b:focus{outline:none}"
	".b.on>path:first-of-type,.b:focus>path:first-of-type{stroke:#0b62d6;stroke-width:2}"
	".dim .b:not(.on):not(:focus){opacity:.35}"
	"@media (prefers-color-scheme:dark){html{background:#17181b}"
	"#bar{background:#17181bf0;color:#a0a4a9}#tip{background:#f2f2ee;color:#1c1d1f}"
	".b.on>path:first-of-type,.b:focus>path:first-of-type{stroke:#7db4ff}}";

static const char script[] =
	"(function(){\n"
	"var tip=document.getElementById('tip'),find=document.getElementById('find'),\n"
	"main=document.querySelector('main'),texts=new Map(),marked=[];\n"
	"document.querySelectorAll('g>title').forEach(function(t){\n"
	" var g=t.parentNode;texts.set(g,t.textContent.trim());\n"
	" if(g.classList.contains('b')){g.setAttribute('role','img');\n"
	"  g.setAttribute('aria-label',t.textContent.trim())}\n"
	" t.remove()});\n"
	"var blocks=[].slice.call(document.querySelectorAll('.b'));\n"
	"document.querySelectorAll('section').forEach(function(s){\n"
	" var b=s.querySelector('.b');if(b)b.setAttribute('tabindex','0')});\n"
	"function others(g,key){return g.dataset[key]===undefined?[]:\n"
	" [].slice.call(document.querySelectorAll('.b[data-'+key+'=\"'+g.dataset[key]+'\"]'))}\n"
	"function clear(){marked.forEach(function(b){b.classList.remove('on')});marked=[];\n"
	" main.classList.remove('dim')}\n"
	"function mark(g){clear();marked=others(g,'o').concat(others(g,'f'));\n"
	" marked.forEach(function(b){b.classList.add('on')});\n"
	" if(marked.length>1)main.classList.add('dim')}\n"
	"function place(x,y){var r=tip.getBoundingClientRect();\n"
	" tip.style.left=Math.max(4,Math.min(x+14,innerWidth-r.width-6))+'px';\n"
	" tip.style.top=(y+18+r.height>innerHeight?Math.max(4,y-r.height-10):y+18)+'px'}\n"
	"function show(g,x,y){tip.textContent=texts.get(g);tip.style.display='block';place(x,y)}\n"
	"function hide(){tip.style.display='none';clear()}\n"
	"function owner(e){var g=e.target.closest&&e.target.closest('g');\n"
	" while(g&&!texts.has(g))g=g.parentNode.closest&&g.parentNode.closest('g');return g}\n"
	"document.addEventListener('mousemove',function(e){var g=owner(e);\n"
	" if(!g)return hide();\n"
	" if(tip.style.display!=='block'||tip.g!==g){tip.g=g;\n"
	"  if(g.classList.contains('b'))mark(g);else clear();show(g,e.clientX,e.clientY)}\n"
	" else place(e.clientX,e.clientY)});\n"
	"document.addEventListener('mouseleave',hide);\n"
	"document.addEventListener('focusin',function(e){\n"
	" if(!texts.has(e.target))return;var r=e.target.getBoundingClientRect();\n"
	" tip.g=e.target;mark(e.target);show(e.target,r.left,r.bottom-14)});\n"
	"document.addEventListener('focusout',hide);\n"
	"document.addEventListener('keydown',function(e){\n"
	" if(e.key==='Escape')return hide();\n"
	" if(e.key==='/'&&e.target!==find){e.preventDefault();return find.focus()}\n"
	" var i=blocks.indexOf(e.target),step={ArrowRight:1,ArrowLeft:-1}[e.key];\n"
	" if(i<0||!step||!blocks[i+step])return;\n"
	" e.preventDefault();blocks[i+step].setAttribute('tabindex','-1');\n"
	" blocks[i+step].focus()});\n"
	"var sections=[].slice.call(document.querySelectorAll('section'));\n"
	"sections.forEach(function(s){s.words=(s.textContent+' '+\n"
	" [].slice.call(s.querySelectorAll('.b')).map(function(b){\n"
	" return texts.get(b).split('\\n').slice(0,2).join(' ')}).join(' '))\n"
	" .toLowerCase()});\n"
	"find.addEventListener('input',function(){var w=find.value.toLowerCase(),n=0;\n"
	" sections.forEach(function(s){s.hidden=s.words.indexOf(w)<0;n+=!s.hidden});\n"
	" document.getElementById('found').textContent=w?n+' of '+sections.length+' processes':''});\n"
	"document.getElementById('bar').hidden=false;\n"
	"})();\n";

static void begin_svg(FILE *out, int height)
{
	fprintf(out, "<svg width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n", AMAP_WIDTH, height,
		AMAP_WIDTH, height);
}

static void write_head(FILE *out, const struct amap_layout *l)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
	      "<meta name=\"viewport\" content=\"width=device-width\"/>\n"
	      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
	      "style-src 'unsafe-inline'; script-src 'unsafe-inline'\"/>\n<title>",
	      out);
	amap_put_text(out, l->am->title, 200);
	fputs(": address spaces</title>\n<style>", out);
	amap_put_style(out, l->am, /* dark= */ true);
	fputs(style, out);
	fputs("</style>\n</head>\n<body>\n<main>\n", out);
}

static void write_part_head(FILE *out, const struct amap_layout *l)
{
	begin_svg(out, amap_draw_head(NULL, l));
	amap_put_defs(out);
	amap_draw_head(out, l);
	fputs("</svg>\n<div id=\"bar\" hidden=\"hidden\"><input id=\"find\" type=\"search\" "
	      "placeholder=\"pid, command, mapping (/)\" aria-label=\"Show processes with\"/>"
	      "<span id=\"found\"></span><span>Point at a block: the same file, shared memory or "
	      "shared pages stand out in all processes. Tab and arrow keys go through them."
	      "</span></div>\n",
	      out);
}

void amap_write_html(FILE *out, const struct amap_layout *l)
{
	write_head(out, l);
	write_part_head(out, l);
	vec_foreach (panel, &l->panels) {
		fprintf(out, "<section id=\"p%u\">", panel->p->pid);
		begin_svg(out, amap_draw_panel(NULL, l, panel, 0));
		amap_draw_panel(out, l, panel, 0);
		fputs("</svg></section>\n", out);
	}
	if (l->nrest) {
		begin_svg(out, amap_draw_rest(NULL, l, 0));
		amap_draw_rest(out, l, 0);
		fputs("</svg>\n", out);
	}
	fprintf(out,
		"</main>\n<div id=\"tip\" role=\"tooltip\"></div>\n<script>%s</script>\n</body>\n</html>\n",
		script);
}
