"""Scripts of Python 2 on Python 3: `python -m caffe.py2 SCRIPT [args]`.

In:   a script of 2014 to 2018 and the modules beside it.
Out:  it runs; sys.argv, __file__, __name__ and sys.path[0] are as under plain Python.
Not here: guessing. What the text does not show (bytes or characters, say) stays Python 3's; docs/py2.md.
Source: the What's New pages of Python 3.0, lib2to3's fixers (through fissix).
"""
