# The pipeline as file targets: data -> classifier -> cast -> FCN-32s -> 16s -> 8s -> scores.
# Every stage is a file, made once; a stage that was killed goes on where it stopped.

DATASET ?= shapes
GPU ?=
VOC ?= data/pascal/VOC2011
SQUEEZENET ?= models/ilsvrc-nets/squeezenet_v1.0.caffemodel

SETUP := .venv/.complete
PYTHON := .venv/bin/python
NETS := $(patsubst models/%/solver.prototxt,%,$(wildcard models/*/solver.prototxt))
CLASSIFIERS := shapes-vgg16 shapes-alexnet shapes-googlenet
weights = models/$(1)/$(1).caffemodel
# nets whose weights come from elsewhere (their record says so): scored and started from, never trained anew
RELEASED := $(notdir $(basename $(shell grep -ls '"origin": "[^"]' $(NETS:%=models/%/*.json))))
# the split that a net of a set is scored on
split = $(if $(filter pascalcontext%,$(1)),val,$(if $(filter nyud% siftflow%,$(1)),test,seg11valid))
phases = $(if $(filter nyud% siftflow%,$(1)),trainval test,train val)

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: help setup data nets mine mine-folders fcn32s fcn16s fcn8s test check fuzz fuzz-nets bench layer-table architectures

help:
	@echo "make fcn32s && make fcn16s && make fcn8s   train and score the three nets, coarse to fine"
	@echo "make NET      train and score one of: $(NETS)"
	@echo "make setup    the environment, .venv (all targets call it)"
	@echo "make data     the embedded data set, data/shapes"
	@echo "make data-NAME      fetch voc, sbd, context, nyud, siftflow or ilsvrc (docs/data.md)"
	@echo "make weights-NAME   fetch released weights, as weights-voc-fcn8s or weights-vgg16 (docs/weights.md)"
	@echo "make mine IMAGES=folder LABELS=folder   train on your own images (docs/own-images.md)"
	@echo "make nets     write models/*/*.prototxt anew from nets/ and solvers/"
	@echo "make test     the tests;  make check: ruff, mypy, tests, nets fresh"
	@echo "make layer-table  measure every layer anew and write the table of docs/caffe.md"
	@echo "make fuzz     100,000 damaged files of every kind that the engine reads; none may end the process"
	@echo "make fuzz-nets    20,000 random nets by plan, layer by layer and in genuine Caffe; none may differ (COUNT=, SEED=)"
	@echo "make architectures  values and gradients of 25 well-known nets beside genuine Caffe; half an hour, 13 GB"
	@echo "make bench    time and memory beside genuine Caffe, OpenCV and PyTorch (ROUNDS=5, QUICK=1; docs/bench.md)"
	@echo "Variables: DATASET=shapes|voc (now $(DATASET))  GPU=N (now: $(or $(GPU),the CPU))"
	@echo "           VOC=folder (now $(VOC))  SQUEEZENET=caffemodel"
	@echo "Results: models/NET/{NET.caffemodel,loss.png,val.png}, results/NET.json"

setup: $(SETUP)
$(SETUP): requirements.txt requirements-dev.txt setup.sh
	@bash setup.sh

data: data/shapes/.complete
data/shapes/.complete: | $(SETUP)
	@$(PYTHON) -m data.shapes.generate

data-%: | $(SETUP)  # the sets of docs/data.md; FROM="file ..." that are here already
	@$(PYTHON) -m data get $* $(foreach file,$(FROM),--from $(file))

weights-%: | $(SETUP)  # released weights; FROM=file that is here already, FORCE=1 replaces what was trained here
	@$(PYTHON) -m nets weights $* $(if $(FROM),--from $(FROM)) $(if $(FORCE),--force)

nets: $(SETUP)
	@$(PYTHON) -m nets --out models
	@$(PYTHON) -m solvers --out models

# -- every net: trained by its recipe, then scored -------------------------------------------------

fcn32s fcn16s fcn8s: %: $(DATASET)-%

define trained_by
$(call weights,$(1)): $(patsubst %,models/$(1)/%.prototxt,solver $(call phases,$(1))) | $(SETUP)
	@$(PYTHON) -m solvers.solve $(1) $$(solve_options) $(if $(GPU),--gpu $(GPU))
endef

define net_rules
.PHONY: $(1)
$(call weights,$(1)): NEEDED = $(1)
$(1): $(if $(filter $(1),$(CLASSIFIERS)),$(call weights,$(1)),results/$(1).json)
$(if $(filter $(1),$(RELEASED)),,$(call trained_by,$(1)))
results/$(1).json: $(call weights,$(1)) | $(SETUP)
	@$(PYTHON) score.py --net $(1) --split $(call split,$(1)) $$(score_options) $(if $(GPU),--gpu $(GPU)) --out $$@
endef
$(foreach net,$(NETS),$(eval $(call net_rules,$(net))))

# -- what each starts from -------------------------------------------------------------------------

# from the net that is one skip coarser, or from the nets it averages
define starts_from
$(if $(filter $(1),$(RELEASED)),,$(call weights,$(1)): $(call weights,$(2)))
endef
$(foreach set,shapes voc pascalcontext pascalcontext33 siftflow,\
  $(eval $(call starts_from,$(set)-fcn16s,$(set)-fcn32s)) $(eval $(call starts_from,$(set)-fcn8s,$(set)-fcn16s)))
$(eval $(call starts_from,voc-fcn4s,voc-fcn8s))
$(eval $(call starts_from,nyud-fcn32s-color-hha,nyud-fcn32s-color))
$(eval $(call starts_from,nyud-fcn32s-color-hha,nyud-fcn32s-hha))
$(eval $(call starts_from,nyud-fcn16s-color-hha,nyud-fcn32s-color-hha))

# from a classifier of the embedded set
define shapes_cast
$(call weights,$(1)): | data/shapes/.complete
$(call weights,$(2)): models/$(1)/$(1)-fcn.caffemodel | data/shapes/.complete
models/$(1)/$(1)-fcn.caffemodel: $(call weights,$(1))
	@$(PYTHON) -m surgery.base_nets $(1)
endef
$(eval $(call shapes_cast,shapes-vgg16,shapes-fcn32s))
$(eval $(call shapes_cast,shapes-alexnet,shapes-fcn-alexnet))
$(eval $(call shapes_cast,shapes-googlenet,shapes-fcn-googlenet))

# from a classifier of ILSVRC: all that is missing, data too, in one message before the cast
define ilsvrc_cast
$(foreach net,$(filter-out $(RELEASED),$(3)),$(eval $(call weights,$(net)): models/ilsvrc-nets/$(1)-fcn.caffemodel))
models/ilsvrc-nets/$(1)-fcn.caffemodel: | $(SETUP)
	@$$(if $$(NEEDED),$(PYTHON) -m solvers.needs $$(NEEDED))
	@$(PYTHON) -m surgery.base_nets $(2)
endef
$(eval $(call ilsvrc_cast,vgg16,ilsvrc-vgg16,voc-fcn32s voc-fcn8s-atonce voc-fcn32s-fixed \
  voc-fcn-pool5 voc-fcn-pool4 voc-fcn-pool3 pascalcontext-fcn32s pascalcontext33-fcn32s siftflow-fcn32s \
  nyud-fcn32s-color nyud-fcn32s-hha nyud-fcn32s-color-d))
$(eval $(call ilsvrc_cast,alexnet,ilsvrc-caffenet,voc-fcn-alexnet))
$(eval $(call ilsvrc_cast,googlenet,ilsvrc-googlenet,voc-fcn-googlenet))

$(call weights,voc-fcn-squeezenet): solve_options = --voc-dir $(VOC) --init $(SQUEEZENET)
results/voc-fcn-squeezenet.json: score_options = --voc-dir $(VOC)

# -- own images ------------------------------------------------------------------------------------

# Where no weights of ILSVRC are, the embedded classifier is trained first (once).
MINE_INIT := $(or $(INIT),$(if $(findstring $(origin SQUEEZENET),command line environment),$(SQUEEZENET)))
MINE_START := $(if $(or $(MINE_INIT),$(wildcard models/ilsvrc-nets/*.caffemodel)),,shapes)
mine_option = $(if $($(1)),--$(2) "$($(1))")
MINE_OPTIONS = $(call mine_option,MINE_INIT,init) $(call mine_option,CLASSES,classes) $(call mine_option,NAME,name) \
    $(call mine_option,NET,net) $(call mine_option,MINUTES,minutes) $(call mine_option,GPU,gpu)
mine: | mine-folders $(SETUP) $(if $(MINE_START),models/shapes-vgg16/shapes-vgg16-fcn.caffemodel)
	@$(PYTHON) train.py --images "$(IMAGES)" --labels "$(LABELS)" $(MINE_OPTIONS) $(MORE)
mine-folders:  # before minutes go into a classifier
	@test -d "$(IMAGES)" && test -d "$(LABELS)" || { echo "error: make mine: want IMAGES=folder LABELS=folder" >&2; exit 1; }

# -- tests -----------------------------------------------------------------------------------------

test: $(SETUP)
	@OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2

check: $(SETUP)
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m mypy python/caffe nets
	@OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 2 --cov --cov-report=term:skip-covered
	@$(PYTHON) -m nets --out models --check
	@$(PYTHON) -m solvers --out models --check

layer-table: $(SETUP)  # on a machine with a GPU its columns, too
	@OMP_NUM_THREADS=1 $(PYTHON) -m tests.caffe.layer_table

fuzz: $(SETUP)  # damaged files of every kind, COUNT of them
	@$(PYTHON) -m tests.fuzz $(if $(COUNT),--count $(COUNT))

fuzz-nets: $(SETUP)  # random nets by plan, layer by layer and in genuine Caffe, COUNT of them from SEED on
	@$(PYTHON) -m tests.fuzz_nets $(if $(COUNT),--count $(COUNT)) $(if $(SEED),--seed $(SEED))

architectures: $(SETUP)  # every net in every form, batches of 1 and 4; ONLY="NAME ..." for some
	@OMP_NUM_THREADS=1 $(PYTHON) -m tests.caffe.architectures --batch 1 4 $(if $(ONLY),--only $(ONLY))

bench: $(SETUP)  # beside genuine Caffe, OpenCV and eager PyTorch; where the time goes; how it grows (docs/bench.md)
	@$(PYTHON) -m bench $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(QUICK),--quick)
	@$(PYTHON) -m bench.profile voc-fcn32s $(if $(QUICK),--quick)
	@$(PYTHON) -m bench.growth $(if $(QUICK),--quick)
