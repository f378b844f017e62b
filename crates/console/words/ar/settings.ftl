# الإعدادات: سياسة الفريق.

settings-title = الإعدادات
settings-lead = كم يبقى أفراد { $tenant } مسجَّلين، وماذا يمكنهم فعله بجلساتهم.
settings-read-only = يمكنك رؤية الإعدادات دون تغييرها. يمكن للمسؤول تغييرها.
settings-saved = حُفظت الإعدادات وهي سارية. تنتهي الجلسات التي تخالفها خلال دقيقة.
settings-same = لا فرق عن الإعدادات السارية، فلا شيء يُحفظ.
settings-wrong = صحِّح هذه الحقول. لم يتغير شيء.
settings-source = هذه الإعدادات من معيار: { $source }
settings-source-own = اختيرت هذه الإعدادات يدويًا وليس من معيار.
settings-caption = الإعدادات السارية
settings-column-setting = الإعداد
settings-column-value = القيمة

settings-idle = مهلة الخمول
settings-idle-hint = الجلسة التي لا يستخدمها أحد طوال هذه المدة تنتهي.
settings-idle-1d = يوم واحد
settings-idle-7d = 7 أيام
settings-idle-30d = 30 يومًا
settings-idle-never = أبدًا (لا يُنصح به)
settings-idle-never-why = مع «أبدًا» تبقى الجلسة المنسية على جهاز مفقود حتى نهاية عمرها.
settings-idle-own = مدة أخرى
settings-lifetimes = مدد الجلسات
settings-remember = يمكن للأفراد اختيار «تذكَّرني»
settings-remember-lifetime = المدة مع «تذكَّرني»
settings-lifetime = المدة بدونه
settings-longest = أطول مدة لأي جلسة
settings-longest-hint = مهما كثر استخدامها. يجب ألا تزيد المدتان الأخريان عنها.
settings-token = مدة رموز الوصول
settings-token-hint = فارغ: كما في التثبيت.
settings-limit = جلسات الشخص الواحد
settings-sessions-max = هذا العدد على الأكثر في وقت واحد
settings-sessions-max-hint = من 1 إلى 10,000. فارغ: بلا حد.
settings-at-limit = تسجيل الدخول عند بلوغ الحد
settings-at-limit-oldest = يُنهي أقدم جلسة
settings-at-limit-refuse = يُرفض
settings-people = الأفراد وجلساتهم
settings-users-see = يمكن للأفراد رؤية جلساتهم وإنهاؤها
settings-last-page = الاحتفاظ بآخر صفحة لكل جلسة
settings-last-page-hint = عندئذ يرى المسؤولون والشخص نفسه آخر صفحة فُتحت. لا يُحتفظ أبدًا بما بعد «?» في العنوان.
settings-recent = إنهاء الجلسات الأخرى يتطلب تسجيل دخول خلال
settings-recent-hint = للمسؤولين أيضًا، ولتغيير هذه الإعدادات. فارغ: في أي وقت.
settings-sign-in = تسجيل الدخول
settings-acr = قوة تسجيل الدخول المطلوبة (acr)
settings-acr-hint = قيمة في كل سطر، كما ترسلها صفحة تسجيل الدخول لديك. فارغ: أي قيمة. تنتهي الجلسات التي لها قيمة أخرى.
settings-shared = إنهاء الجلسة حين يقدِّم جهازان رمز تجديدها
settings-shared-hint = لقد نُسخ، أو بدَّل جهاز شبكته بين محاولتين.
settings-findings = الإبلاغ عنه كمريب
settings-finding-1 = جهاز جديد
settings-finding-2 = بلد جديد
settings-finding-3 = مدينة جديدة
settings-finding-4 = شبكة جديدة
settings-finding-5 = سفر مستحيل
settings-finding-6 = جلسة قديمة جدًا
settings-finding-7 = تغيُّر البلد
settings-finding-8 = رمز تجديد استُخدم من جديد
settings-finding-9 = رمز تجديد لدى عميلين
settings-amount = العدد
settings-unit = الوحدة
settings-unit-seconds = ثوانٍ
settings-unit-minutes = دقائق
settings-unit-hours = ساعات
settings-unit-days = أيام
settings-check = عرض ما سيتغير
settings-reset = التراجع عن تغييراتي

settings-value-never = أبدًا
settings-value-any = أي قيمة
settings-value-any-time = في أي وقت
settings-value-no-limit = بلا حد
settings-value-installation = كما في التثبيت
settings-value-yes = نعم
settings-value-no = لا
settings-value-none = لا شيء
settings-stricter = أشد للمستخدم { $user }
settings-stricter-remember = بلا «تذكَّرني»
settings-stricter-value = { $setting }: { $value }
settings-stricter-hint = القيم الأشد لمستخدمين بعينهم تُضبط عبر الواجهة البرمجية وتبقى كما هي.

settings-presets = المعايير
settings-presets-hint = يحل المعيار محل مهلة الخمول وأطول مدة، ويخفض المدد الأخرى لتناسبه. يبقى كل ما عدا ذلك.
settings-presets-caption = المعايير وما تطلبه
settings-preset-name = المعيار
settings-preset-source = المصدر
settings-preset-two-factors = اضبط أيضًا «قوة تسجيل الدخول المطلوبة»: هذا المعيار يطلب عاملين.
settings-preset-use = عرض ما سيغيره { $name }
settings-preset-idle-none = كما هي

settings-confirm-title = هل تُحفظ هذه الإعدادات؟
settings-confirm-changes = ما يتغير
settings-confirm-before = الآن
settings-confirm-after = الجديد
settings-preview =
    { $count ->
        [0] لن تنتهي أي جلسة بسبب هذا.
        [one] ستنتهي جلسة واحدة بسبب هذا.
        [two] ستنتهي جلستان بسبب هذا.
        [few] ستنتهي { $count } جلسات بسبب هذا.
        [many] ستنتهي { $count } جلسة بسبب هذا.
       *[other] ستنتهي { $count } جلسة بسبب هذا.
    }
settings-preview-capped =
    { $count ->
        [0] للفريق جلسات أكثر من أن تُفحص كلها. لن تنتهي أي من الأحدث بسبب هذا.
       *[other] ستنتهي { $count } جلسة على الأقل بسبب هذا.
    }
settings-preview-sample = أحدثها
settings-preview-user = المستخدم
settings-preview-device = الجهاز
settings-preview-last-active = آخر نشاط
settings-preview-later = الجلسات التي يطول خمولها لاحقًا تنتهي حينئذ.
settings-reason = السبب
settings-reason-hint = لسجل التدقيق. 1,024 بايت على الأكثر.
settings-save = حفظ الإعدادات
settings-back = الرجوع دون حفظ
settings-unknown-device = جهاز غير معروف

settings-conflict-title = غيَّر شخص آخر الإعدادات
settings-conflict-why = تغيرت بعد أن فتحتها. لم يُحفظ شيء مما لديك. قارن النسختين واختر.
settings-conflict-by = تغيرت { $time } بواسطة { $actor }: { $reason }
settings-conflict-caption = أين تختلف النسختان
settings-conflict-theirs = السارية الآن
settings-conflict-yours = نسختك
settings-conflict-same = النسختان متطابقتان. لم يبق شيء يُحفظ.
settings-conflict-use-yours = المتابعة بنسختي
settings-conflict-use-theirs = إبقاء السارية

settings-wrong-idle = مهلة الخمول: أدخل عددًا صحيحًا، من ثانية واحدة إلى 3,660 يومًا.
settings-wrong-lifetime = المدة بدون «تذكَّرني»: أدخل عددًا صحيحًا، من ثانية واحدة إلى أطول مدة.
settings-wrong-remember = المدة مع «تذكَّرني»: أدخل عددًا صحيحًا، من ثانية واحدة إلى أطول مدة.
settings-wrong-longest = أطول مدة: أدخل عددًا صحيحًا، من ثانية واحدة إلى 3,660 يومًا.
settings-wrong-token = مدة رموز الوصول: أدخل عددًا صحيحًا لا يقل عن ثانية واحدة ولا يزيد على ما يسمح به التثبيت.
settings-wrong-sessions-max = جلسات الشخص الواحد: أدخل من 1 إلى 10,000، أو اتركه فارغًا.
settings-wrong-at-limit = تسجيل الدخول عند بلوغ الحد: اختر ما يفعله.
settings-wrong-acr = قوة تسجيل الدخول المطلوبة: 16 قيمة على الأكثر، كل منها 256 بايت على الأكثر، بلا محارف تحكم.
settings-wrong-recent = تسجيل دخول حديث: أدخل عددًا صحيحًا، من ثانية واحدة إلى 3,660 يومًا، أو اتركه فارغًا.
settings-wrong-users = قيمة أشد لمستخدم بعينه ستصبح أخف من هذه الإعدادات. غيِّرها أولًا عبر الواجهة البرمجية.
settings-wrong-preset = هذا المعيار غير معروف.
settings-wrong-reason = أدخل سببًا لا يزيد على 1,024 بايت، بلا محارف تحكم.
settings-wrong-other = رفضت السلطة قيمة ({ $field }).
settings-gates = البوابات: حيث تُفرض هذه الإعدادات
