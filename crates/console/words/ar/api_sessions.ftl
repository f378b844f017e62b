# جلسات الواجهة البرمجية: مفاتيح البرامج.

api-sessions-title = جلسات الواجهة البرمجية
api-sessions-lead = مفاتيح البرامج في { $tenant }. المفتاح ليس تسجيل دخول: تسجيل خروج مالكه لا يُنهيه، وتعطيل المالك يُنهيه.
api-sessions-caption = مفاتيح الواجهة البرمجية، الأحدث أولًا
api-sessions-none = لا يوجد مفتاح.
api-sessions-none-ended = لا يوجد مفتاح نشط. يمكن عرض المنتهية أيضًا.
api-sessions-read-only = يمكنك رؤية المفاتيح دون تغييرها. يمكن للمسؤول إنشاؤها وإبطالها.
api-sessions-show-ended = عرض المنتهية أيضًا
api-sessions-owner-filter = المالك (معرّف المستخدم)
api-sessions-filter = عرض
api-sessions-filter-clear = عرض كل المالكين
api-sessions-new = إنشاء مفتاح…
api-sessions-column-key = المفتاح
api-sessions-column-owner = المالك
api-sessions-column-last-used = آخر استخدام
api-sessions-column-requests = الطلبات في 24 ساعة
api-sessions-column-state = الحالة
api-sessions-column-created = أُنشئ
api-sessions-column-expires = ينتهي
api-sessions-column-scopes = النطاقات
api-sessions-never-used = أبدًا
api-sessions-never-expires = أبدًا
api-sessions-state-1 = نشط
api-sessions-state-2 = منتهي المدة
api-sessions-state-3 = مُبطَل
api-sessions-state-0 = غير معروف
api-sessions-scopes-none = لا شيء
api-sessions-ended = انتهى { $time }
api-sessions-page-first = الصفحة الأولى
api-sessions-page-next = الصفحة التالية
api-sessions-pages = الصفحات
api-sessions-page-gone = لم تعد هذه الصفحة من القائمة متاحة. هذه هي الصفحة الأولى.
api-sessions-sparkline =
    { $total ->
        [0] لا طلبات في آخر 24 ساعة.
        [one] طلب واحد في آخر 24 ساعة.
        [two] طلبان في آخر 24 ساعة.
        [few] { $total } طلبات في آخر 24 ساعة، والأكثر في ساعة واحدة: { $most }.
       *[other] { $total } طلبًا في آخر 24 ساعة، والأكثر في ساعة واحدة: { $most }.
    }

api-sessions-key-title = المفتاح { $name }
api-sessions-key-id = معرّف المفتاح
api-sessions-hours = الطلبات حسب الساعة
api-sessions-hours-caption = الطلبات في كل ساعة من آخر 24 ساعة، الأقدم أولًا
api-sessions-hours-none = لا طلبات في آخر 24 ساعة.
api-sessions-hours-hour = الساعة
api-sessions-hours-requests = الطلبات
api-sessions-revoke = إبطال هذا المفتاح…
api-sessions-back = الرجوع إلى القائمة

api-sessions-new-title = إنشاء مفتاح للواجهة البرمجية
api-sessions-new-owner = المالك (معرّف المستخدم)
api-sessions-new-owner-hint = من 1 إلى 128 بايت. تعطيل هذا المستخدم يُنهي المفتاح.
api-sessions-new-name = الاسم
api-sessions-new-name-hint = للناس: ما الذي يستخدم المفتاح. من 1 إلى 128 بايت.
api-sessions-new-scopes = النطاقات
api-sessions-new-scopes-hint = تفصل بينها مسافات أو أسطر، 64 على الأكثر. فارغ: لا شيء.
api-sessions-new-audiences = الجهات المقصودة
api-sessions-new-audiences-hint = تفصل بينها مسافات أو أسطر، 16 على الأكثر. فارغ: كما في التثبيت.
api-sessions-new-expires = ينتهي بعد
api-sessions-expires-30 = 30 يومًا
api-sessions-expires-90 = 90 يومًا
api-sessions-expires-365 = سنة واحدة
api-sessions-expires-never = أبدًا (لا يُنصح به)
api-sessions-new-reason = السبب
api-sessions-new-reason-hint = لسجل التدقيق. 1,024 بايت على الأكثر. يمكن تركه فارغًا.
api-sessions-new-create = إنشاء المفتاح
api-sessions-cancel = إلغاء
api-sessions-created-title = أُنشئ المفتاح
api-sessions-created-once = انسخ السر الآن. يظهر هذه المرة فقط: لا يمكن لأحد إظهاره ثانية، ولا يُخزَّن في أي مكان.
api-sessions-created-secret = سر { $name }
api-sessions-created-use = ترسله البرامج بالشكل «Authorization: Bearer …». لا تضعه في العناوين أو السجلات أو الشيفرة المصدرية.
api-sessions-created-done = لقد نسخته
api-sessions-again-title = أُرسل هذا النموذج من قبل
api-sessions-again = ظهر حينها المفتاح الذي أنشأه، ويظهر سره مرة واحدة. لم يحدث شيء الآن. إن لم يُنسخ السر فأبطل ذلك المفتاح وأنشئ غيره.
api-sessions-again-list = عرض المفاتيح

api-sessions-revoke-title = هل يُبطَل المفتاح { $name }؟
api-sessions-revoke-what = كل برنامج يستخدمه يُرفض فورًا عند كل بوابة. لا يمكن التراجع عن هذا.
api-sessions-revoke-reason = السبب
api-sessions-revoke-confirm = إبطال المفتاح
api-sessions-revoked = أُبطل المفتاح.
api-sessions-revoked-before = كان المفتاح قد انتهى من قبل. لم يتغير شيء.

api-sessions-wrong = صحِّح هذه الحقول. لم يُنشأ شيء.
api-sessions-wrong-revoke = صحِّح هذا الحقل. لم يُبطَل شيء.
api-sessions-wrong-owner = المالك: أدخل معرّف مستخدم من 1 إلى 128 بايت، بلا محارف تحكم.
api-sessions-wrong-name = الاسم: أدخل من 1 إلى 128 بايت، بلا محارف تحكم.
api-sessions-wrong-scopes = النطاقات: 64 على الأكثر، كل منها 128 محرف ASCII مرئيًا على الأكثر، بلا علامات اقتباس ولا شرطات مائلة عكسية.
api-sessions-wrong-audiences = الجهات المقصودة: 16 على الأكثر، كل منها 256 بايت على الأكثر.
api-sessions-wrong-expires = اختر متى ينتهي المفتاح.
api-sessions-wrong-reason = السبب: 1,024 بايت على الأكثر، بلا محارف تحكم.
api-sessions-wrong-disabled = المالك معطَّل. فعِّله أولًا أو اختر مالكًا آخر.
api-sessions-wrong-quota = لدى الفريق أقصى عدد مسموح من المفاتيح. أبطل أحدها أولًا.
api-sessions-wrong-other = رفضت السلطة قيمة ({ $field }).
